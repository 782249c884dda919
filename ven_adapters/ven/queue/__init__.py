"""Commands to cars over NATS JetStream: a planner hands them in, competing executors carry them out.

In process there is no queue: the planner calls the automaker's backend itself. Here it calls a `RemoteBackend`, which
is a `VehicleBackend` too; the real one is held by `Executor` processes.

What is guaranteed, with one NATS server or cluster as the only witness:

- *Newest wins.* A car has one place in the stream. A command that nobody has begun is replaced by a newer one and is
  then never carried out.
- *One at a time.* Commands of one car are carried out one after the other, in the order in which they were handed in,
  however many executors compete. An executor writes "begun" in the car's record before it calls the backend and "done"
  after it, each as a compare-and-set, and a car that is "begun" is left alone until its lease is over by the server's
  clock. An executor renews the lease while it calls, and drops the call before the lease ends when it cannot. Only a
  process that is suspended in the middle of a call, and wakes up after its lease, can overlap with its successor; and a
  backend may go on with a call that its caller gave up, which is why what was interrupted is read before it is sent
  again.
- *So a read is a fence.* Once a status read is answered, every earlier command of that car is over for good: called,
  or never to be called.
- *At least once, one effect.* A command stays in the stream until its outcome is on record. Whoever takes over a
  command that another executor had begun asks the backend first, and only submits when the backend does not know the
  directive; submits are idempotent on the directive's key besides.
- *Nothing late.* The executor compares `not_after` with its own clock right before the call, and lets no call and no
  retry go on past it; the server drops the message soon after that instant as well.
- *Nothing invented.* No answer in time is OUTCOME_UNKNOWN, which the life cycle settles by a read. The last outcome of
  a car stays on record, so a planner that was away finds it.
"""
