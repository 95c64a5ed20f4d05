"""`acdc report` and the pages that runs and evaluations write."""

import json
import shutil
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.runs.page import EXPLANATION, PAGE, page_of_run, refresh_page
from acdc.runs.result import load_run
from tests.report.samples import explanation_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    assert main(["discover", "ioi", "--model", "acdc-small", "-n", "3", "--quiet", "--out", str(out)]) == 0
    return next(out.rglob("run.json")).parent


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_writes_its_page_with_its_prompts_token_by_token(run: Path) -> None:
    page = (run / PAGE).read_text()
    assert PAGE in load_run(run).record["files"]
    assert '<span class="word differs"' in page and "acdc discover ioi --model acdc-small" in page
    assert page_of_run(run) == run / PAGE and (run / PAGE).read_text() == page


def test_an_explanation_and_an_evaluation_are_taken_in(run: Path) -> None:
    explanation = explanation_of(load_run(run).circuit, ("a", " b", " c"))
    (run / EXPLANATION).write_text(explanation.model_dump_json())
    assert main(["evaluate", str(run), "--only", "faithfulness", "-n", "4", "--quiet"]) == 0
    page = (run / PAGE).read_text()  # the evaluation has written it again
    assert "Three heads do, and they hold under intervention." in page and "4 held-out prompts" in page
    assert 'id="evidence"' in page


def test_a_run_without_a_page_gets_none_by_being_evaluated(run: Path) -> None:
    (run / PAGE).unlink()
    refresh_page(run)
    assert not (run / PAGE).exists()


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out) and out.read_text() == (run / PAGE).read_text()
    circuit = shutil.copy(run / "circuit.json", tmp_path / "mine.json")
    assert main(["report", str(circuit)]) == 0
    assert "What each node does was not looked at" in (tmp_path / "mine.html").read_text()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (EXPLANATION, "{}", "explanation.json is no explanation, or is damaged"),
        (EXPLANATION, "{", "explanation.json"),
        ("evaluation/evaluation.json", json.dumps({"parts": {}}), "is not the report of an evaluation, or is damaged"),
        ("prompts.jsonl", '{"split": "discovery"}\n', "prompts.jsonl, line 1 is damaged"),
    ],
)
def test_damaged_files_are_named(
    run: Path, name: str, content: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(content)
    assert main(["report", str(run)]) == 2
    assert told in capsys.readouterr().err


def test_a_place_that_cannot_be_written_or_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--out", str(run / "nowhere" / "page.html")]) == 2
    assert "can't write" in capsys.readouterr().err
    assert main(["report", str(run / "nothing")]) == 2
    assert "there is no run" in capsys.readouterr().err
