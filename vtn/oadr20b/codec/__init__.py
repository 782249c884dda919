"""Messages of OpenADR 2.0b: from bytes to values, from values to bytes, and their signatures.

`reading` refuses what is no message before a parser sees it; `decode` reads a checked tree into `messages`; `encode`
writes them with openleadr's templates, filled by an environment of our own that escapes every value; `signatures` signs
and verifies. Nothing here knows who talks to whom, or what an event means.
"""
