"""A VTN for VENs that speak 2.0b: what stands in our VTN is told to them, and what they answer and report goes there.

`services` takes messages over HTTP and says who sent them; `registration`, `events`, `opts` and `reports` answer
them; `projection` says what a VEN is to be told, `due` which message that is; `vtn_watch` reads our VTN, `outbox`
writes into it, `push` sends to VENs that do not poll. Nothing is answered that is not durable.
"""
