"""The page to read: one file, everything in it, and nothing from anywhere else."""

import html.parser
import re

import pytest

from vtn.endpoints.openapi import docs_page
from vtn.endpoints.openapi.document import ServerFacts, document

DOCUMENT = document(ServerFacts("https://vtn.example.org", ("/openadr3/3.1.0",)), with_root=True)
PAGE = docs_page.page(DOCUMENT)


class Outline(html.parser.HTMLParser):
    """Ids, links and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.links, self.fetched = [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        self.fetched += [found[name] for name in ("src", "srcset", "data") if name in found]
        if tag == "link":
            self.fetched.append(found.get("href"))


@pytest.fixture(scope="module")
def outline():
    found = Outline()
    found.feed(PAGE)
    return found


def test_every_operation_and_every_schema_stands_once_in_the_page(outline):
    names = [
        one["operationId"] for item in DOCUMENT["paths"].values() for one in item.values() if isinstance(one, dict)
    ]
    for name in (*names, *(f"schema-{schema}" for schema in DOCUMENT["components"]["schemas"])):
        assert outline.ids.count(name) == 1


def test_every_link_leads_into_the_page_or_to_the_document(outline):
    for link in outline.links:
        assert link == "openapi.json" or link.removeprefix("#") in outline.ids


def test_nothing_is_fetched(outline):
    assert outline.fetched == []
    assert not re.search(r"@import|url\(|import\(|fetch\(|XMLHttpRequest", docs_page.STYLE + docs_page.SCRIPT)
    assert "default-src 'none'" in docs_page.HEADERS["Content-Security-Policy"]


def test_text_of_the_document_is_text_in_the_page():
    evil = '"><script>alert(1)</script>'
    info = {"title": evil, "version": evil, "description": evil}
    tags = [{"name": tag["name"], "description": evil} for tag in DOCUMENT["tags"]]
    page = docs_page.page({**DOCUMENT, "info": info, "tags": tags})
    assert "<script>alert" not in page
    assert page.count("<script>") == 1


def test_what_stands_in_backticks_is_code():
    assert docs_page._prose("a `b<c` d") == "a <code>b&lt;c</code> d"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Point"}, "<a href='#schema-Point'>Point</a>"),
        ({"type": ["array", "null"], "items": {"type": "string"}}, "list of string or null"),
        ({"const": "X"}, "<code>&#34;X&#34;</code>"),
        ({"type": "integer", "minimum": 0}, "integer, at least <code>0</code>"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "string, date-time or null"),
        ({}, "anything"),
    ],
)
def test_a_schema_is_said_in_a_few_words(schema, words):
    assert docs_page.type_words(schema) == words
