"""From the bytes of a message to a tree that is safe to walk. What is no message is refused before it is walked.

UTF-8 only, no DTD and no entity, no names but those of the profile (`names`), bounded in bytes, depth and elements,
and valid by the schema of 2.0b, which openleadr ships. libxml2 2.13 and later crash on an entity while they validate,
so the parser has no schema, no entities and no network, and the tree is validated when it is whole.
"""

import dataclasses
import re

from lxml import etree
from openleadr import messaging

from vtn.oadr20b.codec.names import NameGuard, UnknownNames

MEBIBYTE = 1_048_576
MOST_BYTES = 8 * MEBIBYTE
MOST_DEPTH = 40
MOST_ELEMENTS = 400_000
LONGEST_REASON = 200
EI = "{http://docs.oasis-open.org/ns/energyinterop/201110}"
OADR = "{http://openadr.org/oadr-2.0b/2012/07}"
_SIGNED = f"{OADR}oadrSignedObject"
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)|\x00")
_DECLARED = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MOST_DEPTH + 1) + ")")
_COUNT = etree.XPath("count(//*)")
_NAMES = NameGuard()


class BadMessage(ValueError):
    """What came is no message of OpenADR 2.0b; the text says what is wrong and names the place."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """A message as a tree, and what in it was tolerated; `quirks` is empty where the schema is kept."""

    tree: etree._Element
    kind: str
    body: etree._Element
    quirks: tuple[str, ...] = ()


def parse(data: bytes, *, most_bytes: int = MOST_BYTES, strict: bool = True) -> Parsed:
    """Read one message; BadMessage says what is wrong.

    Unless `strict`, a tree that the schema refuses is taken as far as it can be read, and what was wrong is a quirk.
    """
    if len(data) > most_bytes:
        raise BadMessage(f"the message has {len(data)} bytes, and {most_bytes} are the most")
    tree = _tree(data, strict=strict)
    signed = tree.find(_SIGNED)
    if tree.tag != f"{OADR}oadrPayload" or signed is None or len(signed) != 1:
        raise BadMessage("the message is no oadrPayload with one oadrSignedObject that holds one message")
    quirks = _quirks(tree, strict=strict)
    body = signed[0]
    name = etree.QName(body)
    if f"{{{name.namespace}}}" != OADR:
        raise BadMessage(f"the message {name.localname} is not of OpenADR 2.0b")
    return Parsed(tree, name.localname, body, quirks)


def _tree(data: bytes, *, strict: bool) -> etree._Element:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage("the message is not UTF-8") from None
    if _FORBIDDEN.search(data):
        raise BadMessage("the message holds a DTD or an entity, or a zero byte")
    declared = _DECLARED.match(data)
    if declared is not None and declared[1].lower() not in {b"utf-8", b"utf8", b"us-ascii", b"ascii"}:
        raise BadMessage("the message declares an encoding that is not UTF-8")
    try:
        _NAMES.judge(data, strict=strict)
    except UnknownNames as wrong:
        raise BadMessage(str(wrong)) from None
    # The encoding is ours to say: a declaration may not have the parser see other characters than those judged above.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        tree = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadMessage(f"the message is not XML: {_short(error)}") from None
    if _TOO_DEEP(tree):
        raise BadMessage(f"the message is nested deeper than {MOST_DEPTH} elements")
    if _COUNT(tree) > MOST_ELEMENTS:
        raise BadMessage(f"the message has more than {MOST_ELEMENTS} elements")
    return tree


def _quirks(tree: etree._Element, *, strict: bool) -> tuple[str, ...]:
    """What the schema says against the tree. A schemaVersion without its namespace is mended if tolerated."""
    wrong = schema_fault(tree)
    if wrong is None:
        return ()
    if strict:
        raise BadMessage(f"the message is not valid: {wrong}")
    quirks = []
    for element in tree.iter(f"{OADR}*"):
        if "schemaVersion" in element.attrib:
            element.set(f"{EI}schemaVersion", element.attrib.pop("schemaVersion"))
            quirks = ["schemaVersion has no namespace"]
    if (wrong := schema_fault(tree)) is not None:
        quirks.append(wrong)
    return tuple(quirks)


def schema_fault(tree: etree._Element) -> str | None:
    """The first thing that the schema of 2.0b finds wrong; None when the tree is valid."""
    schema: etree.XMLSchema = messaging.XML_SCHEMA
    if schema.validate(tree):
        return None
    last = schema.error_log.last_error
    return _short(last.message) if last is not None else "the schema refuses it"


def _short(reason: object) -> str:
    return " ".join(str(reason).split())[:LONGEST_REASON]
