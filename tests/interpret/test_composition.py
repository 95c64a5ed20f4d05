"""Composition scores are those of the whole d_model-square matrices, and refused where they mean nothing."""

import pytest
import torch

from acdc.circuits.graph import QKV
from acdc.interpret.composition import composition
from acdc.interpret.folded import folded
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from tests.tiny import tiny_model


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2", "bloom", "granite"])
def test_they_are_those_of_the_whole_matrices(family: str) -> None:
    model = tiny_model(family)
    found, graph = composition(model), model.graph
    with torch.no_grad():
        for src in range(graph.n_layers * graph.n_heads):
            for dst in range(graph.n_layers * graph.n_heads):
                (a, i), (b, j) = divmod(src, graph.n_heads), divmod(dst, graph.n_heads)
                if a >= b:
                    assert all(torch.isnan(found.scores[kind][src, dst]) for kind in QKV)
                    continue
                one, (_, other_OV, other_QK) = whole(model, a, i)[1], whole(model, b, j)
                for kind, other in zip(QKV, (other_QK, other_QK.T, other_OV), strict=True):
                    expected = (one @ other).norm() / (one.norm() * other.norm()) - found.baseline
                    assert float(found.scores[kind][src, dst]) == pytest.approx(float(expected), abs=1e-10)


def whole(model: PatchableModel, layer: int, h: int) -> tuple[int, torch.Tensor, torch.Tensor]:
    """A head's W_OV and W_QK behind the norm."""
    block = model.components.blocks[layer]
    attention = block.attention
    gain = 1.0 if attention.gain is None else attention.gain
    kv = h // attention.group
    q, k, v = (folded(block.ln1, x.detach()) for x in (attention.W_Q[h], attention.W_K[kv], attention.W_V[kv]))
    return h, v @ (attention.W_O[h] * gain), q @ k.T


def test_random_heads_score_the_baseline() -> None:
    scores = composition(tiny_model("gpt2", seed=3)).scores["v"]
    found = scores[~scores.isnan()]
    assert abs(float(found.mean())) < 0.1


def test_the_compiled_induction_head_reads_the_previous_token_head_by_its_keys() -> None:
    found = composition(PatchableModel.from_pretrained("induction-compiled"))
    into = {src: found.of(src, "a1.h1", "k") for src in ("a0.h0", "a0.h1", "a0.h2", "a0.h3")}
    assert max(into, key=lambda src: into[src]) == "a0.h2"
    assert into.pop("a0.h2") > 0.05 and all(score == pytest.approx(-found.baseline) for score in into.values())
    assert found.frame().shape == (3 * 16, 4) and found.note == ""
    assert found.frame(1).score[0] == pytest.approx(found.of("a0.h2", "a1.h1", "k"))


def test_what_is_not_bilinear_is_refused() -> None:
    normed = composition(tiny_model("qwen3"))
    assert set(normed.scores) == {"v"} and "normed" in normed.reasons["q"] and "offset 0" in normed.note
    with pytest.raises(Unmeasured, match="clipped"):
        composition(tiny_model("olmo"))
