"""Arguments: complete before anything is loaded, the same by whichever door, and what `run.json` says."""

import dataclasses
import json
from pathlib import Path

import pytest

from acdc import PatchableModel, PromptPair, discover, load_run
from acdc.circuits.circuit import Circuit
from acdc.errors import ModelError, RunError, TaskError, UnknownNameError
from acdc.options.defaults import ABLATION, DEVICE, DTYPE, MEMORY, N_PROMPTS, SEED
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.model_spec import ModelSpec
from acdc.runs.reload import reload
from tests.runs.test_discover import Copy
from tests.tiny import tiny_model


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is loaded in this test."""

    def load(*given: object, **named: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(PatchableModel, "from_pretrained", load)


def test_every_default_is_filled_in_before_anything_is_loaded(unloadable: None) -> None:
    found = resolve_arguments(None, "ioi", method="acdc")
    assert (found.n, found.seed, found.ablation, found.metric.name) == (N_PROMPTS, SEED, ABLATION, "kl")
    assert (found.model.name, found.model.dtype, found.model.device) == ("acdc-small", DTYPE, DEVICE)
    assert found.options["tau"] == 0.01 and found.options["memory"] == MEMORY
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.n = 3


def test_names_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded is what was found at the door, whatever the name means by then."""
    from acdc.zoo import zoo_path

    (tmp_path / "mine").symlink_to(zoo_path("acdc-small"))
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec.of("mine")
    assert (spec.name, spec.recorded) == ("mine", str(zoo_path("acdc-small").resolve()))
    monkeypatch.setattr("acdc.models.source.find_model", lambda name: pytest.fail("looked for again"))
    assert spec.load().name == "mine"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "acdcc"}, UnknownNameError, "did you mean 'acdc'"),
        ({"method": "acdc", "options": {"taw": 1}}, UnknownNameError, "did you mean 'tau'"),
        ({"metric": "klk"}, UnknownNameError, "did you mean 'kl'"),
        ({"ablation": "corupt"}, UnknownNameError, "did you mean 'corrupt'"),
        ({"n": 0}, TaskError, "n must be a positive number"),
        ({"seed": -1}, RunError, "seed must be a whole number of at least 0"),
        ({"dtype": "half"}, UnknownNameError, "did you mean 'float16'"),
        ({"device": "gpu"}, ModelError, "did you mean 'cuda'"),
        ({"model": "./nothing"}, ModelError, "there is no model folder './nothing'"),
        ({"model": 3}, RunError, "model must be a name, a folder, a PatchableModel"),
        ({"tokenizer": object()}, RunError, "tokenizer goes with a live Hugging Face model"),
    ],
)
def test_each_mistake_is_refused_at_the_door(unloadable: None, given: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_arguments(**{"model": None, "task": "ioi"} | given)


def test_a_run_s_record_and_its_reloading_say_the_same_arguments(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    result = discover(model, Copy, n=5, seed=3, tau=0.02, ablation="mean-positional", bos=False, out=tmp_path)
    again = reload(result, model=model).arguments
    assert isinstance(again, Arguments)
    assert again.to_json() == load_run(result.path).arguments == result.arguments
    assert reload(result.circuit, model=model).arguments.to_json() == result.arguments, "a circuit carries them too"


def test_where_a_task_gives_fewer_prompts_both_numbers_are_kept(tmp_path: Path) -> None:
    class Two(Copy):
        def pairs(self, tokenizer: object, n: int, rng: object) -> list[PromptPair]:
            return [PromptPair([i, 5, 6], [i, 7, 6], [8], [9]) for i in range(2)]

    model = tiny_model("gpt2")
    result = discover(model, Two, n=7, tau=0.02, out=tmp_path)
    assert (result.arguments["n"], result.arguments["n_asked"]) == (2, 7)
    again = reload(result, model=model, task=Two)
    assert again.arguments.n == 7 and again.discovery_problem()[1] is None
    assert "2 prompts" in result.summary().splitlines()[0]


def test_a_circuit_of_nobody_knows_what_is_searched_with_no_method(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    found = reload(Circuit(model.graph, model.graph.edges_mask), model=model, task=Copy).arguments
    assert found.method is None and found.metric.name == Copy.metric
    with pytest.raises(RunError, match="doesn't say which method found it"):
        found.checked_options()
