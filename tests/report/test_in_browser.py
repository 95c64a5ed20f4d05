"""The page in a real browser, from disk and without a network."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acdc.files import write_csv
from acdc.report import write_page
from tests.report.browser import Opened, chromium
from tests.report.samples import HOSTILE, findings, random_circuit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "report.html", findings())


def test_it_opens_without_a_complaint_and_every_id_is_unique(browser: Any, made: Path) -> None:
    opened = Opened(browser, made)
    assert opened.complaints == []
    ids = opened.page.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
    assert len(ids) == len(set(ids)) > 20
    assert opened.page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_what_tokens_hold_is_shown_and_never_run(browser: Any, made: Path) -> None:
    opened = Opened(browser, made, "#node=a1.h1")
    assert opened.page.evaluate("window.hacked") is None and opened.complaints == []
    words = opened.page.locator("#prompts .word bdi").all_inner_texts()
    assert HOSTILE[0].replace(" ", "·") in words and "·مرحبا" in words and "a␀b␛[31m" in words and "\\ud800" in words
    assert any("\\u202eright·to·left\\u2028\\u2029" in word for word in words)
    assert opened.page.locator("img").count() == 0 and opened.page.locator("body script").count() == 3
    assert HOSTILE[0] in opened.text("#panel")


def test_the_tables_numbers_are_those_of_edges_csv(browser: Any, made: Path, tmp_path: Path) -> None:
    circuit = random_circuit()
    saved = write_csv(tmp_path / "edges.csv", circuit.to_frame())
    rows = [row for row in csv.DictReader(saved.open()) if row["kept"] == "True"]
    opened = Opened(browser, made)
    script = "rows => rows.map(row => [row.cells[0].innerText, row.cells[4].dataset.key])"
    shown = opened.page.eval_on_selector_all("#edge-table tbody tr", script)
    assert {name: float(key) for name, key in shown} == {row["edge"]: float(row["score"]) for row in rows}
    data = json.loads(opened.page.inner_text("#data") or opened.page.text_content("#data"))["graph"]
    names = [f"{data['nodes'][s]['id']}->{data['nodes'][d]['id']}" for s, d, *_ in data["edges"]]
    assert sorted(names) == sorted(f"{row['src']}->{row['dst']}" for row in rows)
