"""Nothing that an evaluation measured is measured again: not for another part, nor after a stop."""

from pathlib import Path

import pytest

from acdc import PatchableModel, evaluate
from acdc.errors import FileError
from acdc.patching.exact.state import CircuitState
from acdc.patching.masked import MaskedForward
from acdc.progress import Progress
from acdc.runs import evaluation_folder
from acdc.runs.result import RunResult
from tests.runs.evaluated import FEW, Random, numbers


class Stop(Exception):
    """Whatever ends a process in the middle of its work."""


LONG = ["certificate", "sufficiency", "minimality", "completeness", "curve", "specification"]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A mark for each masked forward and each propagation that is made."""
    made: list[str] = []
    forward, losses = MaskedForward.logits, CircuitState.losses

    def counted(*given, **settings):
        made.append("forward")
        return forward(*given, **settings)

    def asked(self, *given, **settings):
        made.append("losses")
        return losses(self, *given, **settings)

    monkeypatch.setattr(MaskedForward, "logits", counted)
    monkeypatch.setattr(CircuitState, "losses", asked)
    return made


def test_no_circuit_is_run_twice_for_two_parts(
    run: RunResult, model: PatchableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole model, the empty circuit, the circuit and its complement are asked about by all of these."""
    forward, masks = MaskedForward.logits, list[bytes]()

    def seen(self, mask):
        masks.append(mask.numpy().tobytes())
        return forward(self, mask)

    monkeypatch.setattr(MaskedForward, "logits", seen)
    settings = {"model": model, "task": Random, "save": False, **FEW}
    parts = ["faithfulness", "equivalence", "sufficiency", "completeness", "curve"]
    together = evaluate(run, **settings, only=parts)
    assert len(masks) == len(set(masks)) > 20
    alone = {name: evaluate(run, **settings, only=[name]) for name in parts}
    assert numbers(together.report) == {name: numbers(alone[name].report)[name] for name in parts}


@pytest.mark.parametrize("part", LONG)
def test_a_part_that_was_stopped_goes_on_where_it_was(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], part: str
) -> None:
    settings = {"model": model, "task": Random, "only": [part], **FEW}
    told: list[Progress] = []
    whole = evaluate(run, **settings, save=False, progress=told.append)
    all_passes, steps = len(passes), [each for each in told if each.total]
    assert all(each.label == f"part 1 of 1: {part}" for each in steps) and steps[-1].done == steps[-1].total
    assert [each.done for each in steps] == sorted(each.done for each in steps)
    assert len({each.total for each in steps}) == 1, "one total for the whole part"

    stop_at = max(1, len(steps) // 2)
    left = [stop_at]

    def stop(progress: Progress) -> None:
        left[0] -= progress.total > 0
        if not left[0]:
            raise Stop

    with pytest.raises(Stop):
        evaluate(run, **settings, out=tmp_path, progress=stop)
    assert list((tmp_path / "unfinished").glob(f"{part}-*.jsonl"))
    passes.clear()
    resumed = evaluate(run, **settings, out=tmp_path)
    assert numbers(resumed.report) == numbers(whole.report), "the same numbers, to the last bit"
    assert len(passes) < all_passes
    assert not (tmp_path / "unfinished").exists()


def test_what_was_measured_for_other_settings_is_not_taken(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 3:
            raise Stop

    settings = {"model": model, "task": Random, "only": ["sufficiency"], "out": tmp_path, **FEW}
    with pytest.raises(Stop):
        evaluate(run, **settings, progress=stop)
    other = evaluate(run, **settings, seed=3)
    fresh = evaluate(run, **(settings | {"out": None}), seed=3, save=False)
    assert numbers(other.report) == numbers(fresh.report)
    assert list((tmp_path / "unfinished").iterdir()), "what the first one measured is still there"
    with pytest.raises(Stop):
        evaluate(run, **settings, progress=stop, resume=False)


def test_a_search_of_stability_that_was_stopped_goes_on_too(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": model, "task": Random, "only": ["stability"], "stability": 1, **FEW}
    whole = evaluate(run, **settings, save=False)
    all_passes, ask = len(passes), CircuitState.losses

    def stopped(self, *given, **named):
        if len(passes) > all_passes + all_passes // 2:
            raise Stop
        return ask(self, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(CircuitState, "losses", stopped)
        with pytest.raises(Stop):
            evaluate(run, **settings, out=tmp_path)
    passes.clear()
    resumed = evaluate(run, **settings, out=tmp_path)
    for name, value in whole.part("stability").items():  # a search that goes on tries other numbers of edges at once
        assert resumed.part("stability")[name] == value or name in ("seconds", "forward_passes")
    assert 0 < len(passes) < 0.8 * all_passes


def test_what_was_measured_outlives_a_full_disk(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report can't be written; the next time, nothing of the part is measured again."""

    def full(*given):
        raise FileError("can't write evaluation.json: No space left on device")

    settings = {"model": model, "task": Random, "only": ["completeness"], "out": tmp_path, **FEW}
    with monkeypatch.context() as patched:
        patched.setattr(evaluation_folder, "write_json", full)
        with pytest.raises(FileError, match="No space"):
            evaluate(run, **settings)
    passes.clear()
    found = evaluate(run, **settings)
    assert found.part("completeness") and not passes
