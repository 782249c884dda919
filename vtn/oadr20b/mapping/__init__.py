"""What a word of OpenADR 2.0b is in OpenADR 3.1, and back: tables, and pure functions that read them.

`signals` and `report_types` are the tables; `events_up` turns an eiEvent into a program and an event, `events_down`
an event into eiEvents for one VEN, `targets`, `opts` and `reports` the rest; `page` prints the tables as
documentation. What has no word in the other standard is carried under a private name that begins with `X_20B_`, or
refused by name. No input or output, and no clock.
"""
