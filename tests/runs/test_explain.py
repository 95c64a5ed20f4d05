"""`acdc.explain`: every section adds its own, none is measured twice, one that fails is a note, all is read back."""

import json
from pathlib import Path

import pytest

import acdc
from acdc import RunError, RunResult, UnknownNameError
from acdc.cli import main
from acdc.errors import ModelError
from acdc.interpret.sections import SECTIONS
from acdc.runs.explain import explain_briefly, forecast_explanation
from acdc.runs.explained import Explained, load_explanation

CHEAP = {"n": 8, "n_probed": 16, "nodes": 6, "examples": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    out = tmp_path_factory.mktemp("runs")
    return acdc.discover("acdc-small", "ioi", method="eap", metric="logit_diff", n=8, n_edges=60, out=out)


@pytest.fixture(scope="module")
def explained(run: RunResult) -> Explained:
    return acdc.explain(run, **CHEAP)


def test_a_run_is_explained_and_read_back(run: RunResult, explained: Explained) -> None:
    said = explained.explanation
    assert run.path is not None and explained.path == run.path
    assert load_explanation(run.path / "explanation.json") == said
    assert said.held_out and said.certain and "ioi" in said.question and "60 of 479 edges" in said.answer
    assert set(said.seconds) == set(SECTIONS)
    assert not [note for note in said.notes if "could not be measured" in note]
    assert all(file.is_file() for file in explained.files)
    assert {"map_z_noising.svg", "logit-lens_mean.svg", "probes_order.svg", "nodes.csv", "report.html"} <= {
        file.name for file in explained.files
    }
    assert said.question in explained.summary()


def test_every_section_adds_its_own(explained: Explained) -> None:
    said = explained.explanation
    measured = [card for card in said.nodes if card.effect is not None]
    assert len(measured) == CHEAP["nodes"] and len(said.nodes) > len(measured), "all nodes have a direct effect"
    assert all(card.direct is not None and card.sentence for card in said.nodes)
    assert all(card.attends and card.patterns for card in measured if card.kind == "head")
    assert len(said.prompts) == CHEAP["examples"] and said.prompts[0].model[0][1] > 0.2
    assert all(card.writes_up and card.writes_down and card.reads for card in measured)
    assert said.lenses and said.maps and said.probes and said.steering
    assert said.agreement is not None and said.agreement.nodes == [card.name for card in measured]
    assert {"effect", "restores", "attribution", "direct", "probe", "edge scores"} <= set(said.agreement.columns)
    assert set(explained.frames()) >= {"nodes", "agreement", "probes_order", "steering"}
    assert explained.frames()["nodes"].shape[0] == len(said.nodes)


def test_nothing_is_measured_twice(run: RunResult, explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, section in SECTIONS.items():
        broken = type(section)(name, "", section.order, _never, section.cost)
        monkeypatch.setitem(SECTIONS, name, broken)
    again = acdc.explain(run, **CHEAP).explanation
    assert again.model_copy(update={"notes": []}) == explained.explanation.model_copy(update={"notes": []})


def _never(*_: object) -> None:
    raise AssertionError("it was measured before")


def test_an_explanation_of_one_section_keeps_what_others_found(run: RunResult, explained: Explained) -> None:
    again = acdc.explain(run, **CHEAP, only=["lens"]).explanation
    assert again == explained.explanation
    assert not acdc.explain(run, **CHEAP, only=["lens"], skip=["probes"], save=False).explanation.probes


def test_a_section_that_fails_is_a_note(run: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModelError("the norm can't be held")

    monkeypatch.setitem(SECTIONS, "direct", type(SECTIONS["direct"])("direct", "", 20, fail, lambda _: 1.0))
    found = acdc.explain(run, **CHEAP, only=["effects", "direct"], resume=False, save=False).explanation
    assert "direct could not be measured: the norm can't be held" in found.notes
    assert any(card.effect for card in found.nodes)


def test_sections_that_take_too_long_are_left_out_and_named(run: RunResult) -> None:
    found = acdc.explain(run, **CHEAP, seconds=1e-9, save=False).explanation
    assert all(any(note.startswith(f"{name} was left out") for note in found.notes) for name in ("effects", "probes"))
    assert found.answer.endswith("Which of them matter was not measured.")


def test_the_cost_is_told_without_anything_written(run: RunResult) -> None:
    before = sorted(run.path.rglob("*")) if run.path else []
    plan = forecast_explanation(run, **CHEAP, skip=["lens"])
    assert [each.name for each in plan] == [name for name in SECTIONS if name != "lens"]
    assert all(each.seconds >= 0 and each.left_out is None for each in plan)
    assert before == (sorted(run.path.rglob("*")) if run.path else [])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"only": ["efects"]}, "did you mean 'effects'"),
        ({"only": ["lens"], "skip": ["lens"]}, "every section is skipped"),
        ({"nodes": 0}, "nodes"),
        ({"label": "name"}, "unknown label"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(run: RunResult, wrong: dict, message: str) -> None:
    with pytest.raises((RunError, UnknownNameError), match=message):
        acdc.explain("there/is/no/such/run", **wrong)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "explanation.json").write_text("{}")
    with pytest.raises(acdc.FileError, match="no explanation"):
        load_explanation(tmp_path / "explanation.json")


def test_a_discovery_says_a_few_words_of_its_circuit(run: RunResult, capsys: pytest.CaptureFixture) -> None:
    found = explain_briefly(run, command="acdc discover ioi")
    assert found.explanation.command == "acdc discover ioi"
    assert set(found.explanation.seconds) == {name for name, section in SECTIONS.items() if section.brief}


def test_the_command_explains_a_run_and_tells_mistakes_in_a_line(
    run: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = ["explain", str(run.path), "-n", "8", "--nodes", "3", "--only", "effects", "--out", str(tmp_path)]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "Question: How does acdc-small do ioi" in said and str(tmp_path / "explanation.json") in said
    assert load_explanation(tmp_path / "explanation.json").nodes
    assert main([*given, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "effects"
    assert main([*given, "--skip", "efects"]) == 2
    assert capsys.readouterr().err == "acdc: unknown section 'efects': did you mean 'effects'? " + _known()


def _known() -> str:
    return f"(known: {', '.join(SECTIONS)})\n"
