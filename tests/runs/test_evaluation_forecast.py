"""What an evaluation would take, and what is left out where that is too much."""

from pathlib import Path

import pytest

from acdc import Circuit, PatchableModel, evaluate
from acdc.evaluation import work
from acdc.progress import Progress
from acdc.runs import evaluation_forecast
from acdc.runs.evaluation_forecast import forecast
from acdc.runs.result import RunResult
from tests.runs.evaluated import ASKED_FOR, FEW, Random


def test_a_forecast_says_at_most_how_many_passes_each_part_takes(run: RunResult, model: PatchableModel) -> None:
    settings = {"model": model, "task": Random, "stability": 1, **FEW}
    found = {part.name: part for part in forecast(run, **settings)}
    assert list(found) == ASKED_FOR and found["stability"].forward_passes is None
    assert found["equivalence"].forward_passes == 0, "made for faithfulness already"
    report = evaluate(run, **settings, save=False, skip=["equivalence", "independence", "stability"]).report
    for name, part in report["parts"].items():
        assert 0.5 * found[name].forward_passes <= part["forward_passes"] <= found[name].forward_passes, name
    for name in ("sufficiency", "completeness"):
        assert report["parts"][name]["forward_passes"] == found[name].forward_passes
    bare = forecast(Circuit(run.circuit.graph, run.circuit.mask), metric="kl", **(settings | {"only": ["curve"]}))
    assert bare[0].left_out and "no scores" in bare[0].left_out


def test_the_default_leaves_out_what_it_can_not_afford_and_says_so(
    run: RunResult, model: PatchableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    settings = {"model": model, "task": Random, **FEW}
    monkeypatch.setattr(evaluation_forecast, "SECONDS", 0.0)
    planned = {part.name: part for part in forecast(run, **settings)}
    found = evaluate(run, **settings, save=False, progress=told.append)
    left_out = {name for name, part in found.report["parts"].items() if "left_out" in part}
    assert {"minimality"} <= left_out < set(planned) and found.part("faithfulness")
    text = found.report["parts"]["minimality"]["left_out"]
    assert f"at most {planned['minimality'].forward_passes} forward passes" in text
    assert "--only minimality or --thorough" in text and text in found.summary()
    memory, *notes = [each for each in told if each.note]
    assert memory.stage == "memory" and "at the peak" in memory.note
    assert notes[0].stage == f"{len(planned) - len(left_out)} parts" and "forward passes" in notes[0].note
    assert [each.stage for each in notes[1:]] == [name for name in planned if name not in left_out]
    assert not [part for part in forecast(run, **settings, thorough=True) if part.left_out]
    assert not [part for part in forecast(run, **settings, only=["minimality"]) if part.left_out]


def test_a_large_model_s_evaluation_is_shortened_unless_it_is_thorough(
    run: RunResult, model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": model, "task": Random, "only": ["curve"], "out": tmp_path, "n": 6}
    small = evaluate(run, **settings)
    monkeypatch.setattr(work, "LARGE", 10)
    short, whole = (evaluate(run, **settings, thorough=thorough) for thorough in (False, True))
    assert small.report["settings"]["thorough"] and not short.report["settings"]["thorough"]
    assert whole.report["fingerprint"] == small.report["fingerprint"] != short.report["fingerprint"]
    assert short.part("curve")["areas"]["mib"] == whole.part("curve")["areas"]["mib"], "MIB's numbers are the same"
    assert short.part("curve")["forward_passes"] < whole.part("curve")["forward_passes"]
    assert "--thorough adds others" in short.summary() and "--thorough" not in whole.summary()
    few = evaluate(run, model=model, task=Random, only=["equivalence"], save=False)
    assert few.report["settings"]["n"] == 6, "as many as the run had"
    assert few.part("equivalence")["differs"] or "can't show that they are equivalent" in few.summary()
