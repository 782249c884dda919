"""Which names a message may hold, judged before it is parsed. Pure but for what prefixes were seen.

libxml2 keeps every name that a thread has ever parsed, for ever: whoever sends new ones with each message makes the
process grow. So a message may hold the names of the profile's schemas and no others, and prefixes are those of the
first peers that came: a process takes `MOST_PREFIXES` of them. Tags are matched as they are written, so that
nothing that a parser would take for a name is passed over.
"""

import functools
import re
from pathlib import Path

import openleadr

MOST_PREFIXES = 1_000
MOST_UNKNOWN = 20
_NAME = rb"(?:[A-Za-z_][\w.\-]*:)?[A-Za-z_][\w.\-]*"
_VALUE = rb"(?:\"[^\"<]*\"|'[^'<]*')"
_TAG = re.compile(rb"<(?:/(%b)\s*|(%b)((?:\s+%b\s*=\s*%b)*)\s*/?)>" % (_NAME, _NAME, _NAME, _VALUE))
_ATTRIBUTE = re.compile(rb"\s(%b)\s*=\s*%b" % (_NAME, _VALUE))
_NO_MARKUP = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>", re.DOTALL)
_DECLARATION = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<\?xml[^<>]{0,200}\?>")
_ENTITY = re.compile(rb"&(?!(?:lt|gt|amp|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_DEFINED = re.compile(r"<(?:\w+:)?(?:element|attribute)\s[^>]*?\bname=\"([^\"]+)\"")
# What XML itself and its schemas bring, whatever the profile says.
_ALWAYS = frozenset(
    {b"xmlns", b"schemaLocation", b"noNamespaceSchemaLocation", b"type", b"nil", b"lang", b"space", b"base"}
)


class UnknownNames(ValueError):
    """A message with names that no schema of the profile has, or whose tags are not written as tags are."""


@functools.cache
def known_names() -> frozenset[bytes]:
    """The local names of all elements and attributes of the profile's schemas, as openleadr ships them."""
    folder = Path(openleadr.__file__).with_name("schema")
    texts = (path.read_text("utf-8") for path in sorted(folder.glob("*.xsd")))
    return _ALWAYS | {name.encode() for text in texts for name in _DEFINED.findall(text)}


class NameGuard:
    """The names that this process takes; one for all messages."""

    def __init__(self, most_prefixes: int = MOST_PREFIXES) -> None:
        self._most_prefixes = most_prefixes
        self._prefixes: set[bytes] = set()

    def judge(self, data: bytes, *, strict: bool) -> None:
        """UnknownNames says what a message holds that it may not; unless `strict`, a few unknown names are taken."""
        plain = _NO_MARKUP.sub(b"", _DECLARATION.sub(b"", data, count=1))
        if _ENTITY.search(plain):
            raise UnknownNames("the message refers to an entity")
        tags = _TAG.findall(plain)
        if len(tags) != plain.count(b"<"):
            raise UnknownNames("the message holds a tag that is not written as tags are")
        names = {end or begin for end, begin, _ in tags}
        for attributes in {attributes for _, _, attributes in tags if attributes}:
            names.update(_ATTRIBUTE.findall(attributes))
        prefixes = set()
        unknown = set()
        for name in names:
            prefix, colon, local = name.rpartition(b":")
            if prefix == b"xmlns":
                prefixes.add(local)
                continue
            if colon:
                prefixes.add(prefix)
            if local not in known_names():
                unknown.add(local)
        if len(unknown) > (0 if strict else MOST_UNKNOWN):
            raise UnknownNames(f"the message holds {len(unknown)} names that no schema has: {_shown(unknown)}")
        fresh = prefixes - self._prefixes
        if len(self._prefixes) + len(fresh) > self._most_prefixes:
            raise UnknownNames(f"the message brings a prefix that is new, and {self._most_prefixes} are known already")
        self._prefixes |= fresh


def _shown(names: set[bytes]) -> str:
    return min(names)[:60].decode("ascii", "replace")
