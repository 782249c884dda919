"""OpenADR 2.0b, both ways: a VEN of a utility's 2.0b VTN (`upstream`), and a VTN for 2.0b VENs (`downstream`).

Each is a program of its own beside the VTN, `vtn 20b upstream` and `vtn 20b serve`, with a store of its own, and
reaches the VTN over OpenADR 3 and nothing else. `codec` is messages in and out, `mapping` what a word of one standard
is in the other, `store` the tables. openleadr brings the templates, the schemas, the measurements and the
fingerprints; the state machines are here, because those of openleadr forget everything at a restart.
"""
