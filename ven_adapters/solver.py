"""HiGHS, the solver of linear programmes (Huangfu and Hall, Math. Prog. Comp. 10, 2018), without its banner."""

import highspy


class SilentSolver(highspy.Highs):
    """HiGHS on one thread, without its banner, which its constructor prints when it first subscribes to its own log.

    Its threads are the process's: whoever asks for another number than the first one did is not solved at all.
    """

    def enableCallbacks(self) -> None:  # noqa: N802 - the library's name
        """Say nothing from the first moment on."""
        self.setOptionValue("output_flag", False)  # noqa: FBT003 - an option of the library is its value
        self.setOptionValue("threads", 1)
        super().enableCallbacks()  # type: ignore[no-untyped-call]  # its stub leaves the types out
