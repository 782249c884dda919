"""Blot out what other people's texts may not carry into our logs and errors: cars' numbers, places, addresses.

A backend's refusal may name the car by its VIN or say where it stands. The text is kept, because it says what is wrong;
what identifies a car or a person goes, and so does whatever is longer than anybody reads.
"""

import re

MOST_CHARACTERS = 300

# A vehicle identification number: seventeen letters and digits, never I, O or Q, at least one of each kind.
VIN = re.compile(r"(?i)(?<![A-Z0-9])(?=[A-Z]*\d)(?=\d*[A-Z])[A-HJ-NPR-Z0-9]{17}(?![A-Z0-9])")
_PLACE = re.compile(r"-?\b\d{1,3}\.\d{3,}\b")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_RULES = ((VIN, "[VIN]"), (_ADDRESS, "[address]"), (_PLACE, "[place]"))


def discreet(text: str) -> str:
    """The text without VINs, e-mail addresses and numbers exact enough to be a place, bounded in length."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text[:MOST_CHARACTERS]
