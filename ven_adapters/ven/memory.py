"""Keep Python's collector from walking a whole fleet over and over: what it is made of lives as long as we do."""

import gc

# Young objects before a first look, first looks before a second, second looks before a third.
THRESHOLDS = (20_000, 10, 100)


def settle() -> None:
    """Call when the fleet has been taken in: what is here now is passed over from now on, and freed when it is let go.

    Calls to a backend make some hundred short-lived objects each; with the usual thresholds a quarter of the time at
    full rate goes into looking for cycles among a million objects that have none.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
