"""The readers of kept results, fed damaged files: a report whose words can be said comes out, or one short line."""

import functools
import json
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acdc import discover, evaluate
from acdc.benchmarking import benchmark
from acdc.benchmarking.kept import load_result
from acdc.cli import benchmark as tables
from acdc.errors import ACDCError
from acdc.evaluation.report import load_report
from acdc.runs.evaluation_report import Evaluation, write_evaluation
from tests.circuits.formats.test_fuzz import changed_bytes, changed_value
from tests.runs.evaluated import FEW, Random
from tests.tiny import tiny_model

KINDS = ("evaluation", "benchmark")
MODEL = "frac-prevs-compiled"


@functools.cache
def evaluated() -> Evaluation:
    model = tiny_model("gpt2")
    run = discover(model, Random, n=6, tau=0.02, out=None)
    return evaluate(run, model=model, task=Random, stability=2, save=False, **FEW)


@functools.cache
def valid(kind: str) -> Any:
    """The value of a valid file."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "evaluation":
            model = tiny_model("gpt2")
            run = discover(model, Random, n=6, tau=0.02, out=None)
            evaluate(run, model=model, task=Random, stability=2, out=folder, **FEW)
            return json.loads((Path(folder) / "evaluation.json").read_text())
        benchmark([MODEL], ["eap"], n=4, out=folder)
        (path,) = Path(folder).rglob("result.json")
        return json.loads(path.read_text())


def read(kind: str, content: bytes) -> None:
    """Read a file and say all that is made of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.json"
        path.write_bytes(content)
        if kind == "benchmark":
            if (row := load_result(path, valid(kind)["fingerprint"])) is not None:
                tables._print_tables([row])
                tables._print_markdown([row])
            return
        found = Evaluation(evaluated().circuit, load_report(path))
        assert found.summary() and found._repr_html_() and repr(found)
        found.curve_frame()
        found.specification_frame()
        found.edges_frame()


@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_file_is_read(kind: str) -> None:
    read(kind, json.dumps(valid(kind)).encode())


def test_a_report_that_was_read_gives_the_same_files(tmp_path: Path) -> None:
    found, again = evaluated(), tmp_path / "evaluation.json"
    again.write_text(json.dumps(found.report))
    loaded = Evaluation(found.circuit, load_report(again))
    assert loaded.summary() == found.summary()
    for name, evaluation in (("one", found), ("two", loaded)):
        (tmp_path / name).mkdir()
        write_evaluation(evaluation, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_give_one_line(kind: str, data: st.DataObject) -> None:
    value = valid(kind)
    if data.draw(st.booleans()):
        content = data.draw(changed_bytes(json.dumps(value).encode()))
    else:
        changed = data.draw(changed_value(value))
        content = json.dumps(changed, ensure_ascii=True).encode()
    try:
        read(kind, content)
    except ACDCError as error:
        text = str(error)
        assert len(text) < 700 and "\n" not in text and text.isprintable()


class Tags(HTMLParser):
    """The tags of a page, and whether they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "img", "iframe")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_notebook_shows_a_run_and_its_evaluation(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    run = discover(model, Random, n=6, tau=0.02, out=None)
    for shown, title in ((run, "random on gpt2, by acdc"), (evaluated(), "held-out prompts")):
        html = shown._repr_html_()
        tags = Tags()
        tags.feed(html)
        assert not tags.open and title in html and "<table>" in html
    assert "<svg" in run._repr_html_() and "faithfulness" in run._repr_html_()
    report = json.loads(json.dumps(evaluated().report))
    report["task"] = "<script>alert(1)</script>"
    report["parts"]["faithfulness"]["worst_prompts"][0]["clean"] = "<img src=x onerror=alert(1)>"
    html = Evaluation(run.circuit, report)._repr_html_()
    assert "<script" not in html and "<img" not in html and "&lt;img" in html
