"""The page is made of whatever is saved, and says of what isn't that it was not measured."""

from collections import Counter
from html.parser import HTMLParser

import pytest

from acdc.report import Findings, page_of
from acdc.report.page import script_json
from tests.report.samples import HOSTILE, findings, random_circuit

pytestmark = pytest.mark.fast


class Reader(HTMLParser):
    """The ids and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.ids.update(value for name, value in attrs if name == "id" and value)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_circuit_alone_makes_a_page() -> None:
    read = Reader(page_of(Findings(random_circuit())))
    assert "What each node does was not looked at" in read.text
    assert "what they keep of the model's behaviour was not measured" in read.text
    assert read.ids.most_common(1)[0][1] == 1


def test_all_of_an_explanation_is_there() -> None:
    page = page_of(findings())
    read = Reader(page)
    for id in ("cards", "maps", "lenses", "agreement", "probes", "steering", "prompts"):
        assert read.ids[id] == 1
    assert read.ids.most_common(1)[0][1] == 1
    assert "Three heads do, and they hold under intervention." in read.text
    assert "acdc explain outputs/made-up" in read.text


def test_nothing_is_fetched_and_nothing_else_may_run() -> None:
    page = page_of(findings())
    assert "default-src 'none'" in page and "unsafe" not in page.split("</head>")[0].split("<style>")[0]
    assert Reader(page).tags["script"] == 3 and Reader(page).tags["link"] == Reader(page).tags["img"] == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_json_in_a_script_holds_no_tag_and_no_control_character(text: str) -> None:
    found = script_json({text: [text]})
    assert found.isascii() and found.isprintable() and not set("<>&") & set(found)


def test_no_control_character_is_left_in_it() -> None:
    page = page_of(findings())
    assert not [c for c in page if c in "\x00\x1b\u202e\u2028\u2029" or "\ud800" <= c <= "\udfff"]
    page.encode()


def test_two_pages_of_the_same_findings_are_equal() -> None:
    assert page_of(findings()) == page_of(findings())
