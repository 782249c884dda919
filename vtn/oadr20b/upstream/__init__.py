"""A VEN of a utility's 2.0b VTN: its events become programs and events of our VTN, our opts and reports go back to it.

`link` exchanges messages with one utility, `ven` is the loop of one registration, `events`, `opts` and `reports` are
its parts, and `run` all of it together. Every step is written down before the next one is taken, so that a process
which is killed anywhere goes on where it was.
"""
