"""Use cases: who asks for what, judged by the rules, made durable by storage. No HTTP, no SQL."""
