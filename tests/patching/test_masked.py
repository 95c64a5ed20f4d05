"""The masked forward pass is the definition, for every family and ablation."""

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.patching.ablations import ABLATIONS, ablate
from acdc.patching.activations import run
from acdc.patching.masked import masked_logits
from tests.configs import CONFIGS
from tests.oracle import naive_logits
from tests.tiny import KeepDouble, kept_double, tiny_batch, tiny_model


def random_mask(model, share: float, seed: int = 0, graph: Graph | None = None) -> torch.Tensor:
    generator, graph = torch.Generator().manual_seed(seed), model.graph if graph is None else graph
    return graph.edges_mask & (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_masked_forward_equals_the_oracle(family: str, share: float) -> None:
    model, batch = tiny_model(family), tiny_batch()
    mask = random_mask(model, share)
    with kept_double(family):
        ablated = ablate("corrupt", model, batch, run(model, batch, batch.clean).outputs)
        ours = masked_logits(model, batch, ablated.outputs, mask, memory=1)
        torch.testing.assert_close(ours, naive_logits(model, batch, ablated.outputs, mask), atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_all_edges_are_the_clean_run_and_none_the_corrupted(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with kept_double(family):
        clean, corrupt = run(model, batch, batch.clean), run(model, batch, batch.corrupt)
        full = masked_logits(model, batch, corrupt.outputs, model.graph.edges_mask)
        empty = masked_logits(model, batch, corrupt.outputs, torch.zeros_like(model.graph.edges_mask))
    torch.testing.assert_close(full, clean.logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(empty, corrupt.logits, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "gemma2", "gemma3", "olmo2", "granite"])
def test_a_source_without_kept_inputs_writes_its_ablated_value(family: str) -> None:
    """So whether its outgoing edges are kept changes nothing: no head depends on another of its layer."""
    model, batch = tiny_model(family), tiny_batch()
    graph = model.graph
    with KeepDouble():
        ablated = run(model, batch, batch.corrupt).outputs
    for head in range(graph.n_heads):
        kept = random_mask(model, 0.7, seed=head)
        for kind in "qkv":
            kept[:, graph.head_dst(1, kind, head)] = False
        cut = kept.clone()
        kept[graph.head_src(1, head)] = graph.edges_mask[graph.head_src(1, head)]
        cut[graph.head_src(1, head)] = False
        with KeepDouble():
            ours, theirs = (masked_logits(model, batch, ablated, mask) for mask in (kept, cut))
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_an_ablation_is_active_where_it_differs(kind: str) -> None:
    """Before a prompt's first active position nothing differs from the clean run; there something does."""
    model, batch = tiny_model("llama-gqa"), tiny_batch(lengths=(7, 7, 9, 9))
    clean = run(model, batch, batch.clean).outputs
    ablated = ablate(kind, model, batch, clean, seed=3)
    again = ablate(kind, model, batch, clean, seed=3)
    assert torch.equal(ablated.active, ablated.active.cummax(1).values), "once active, active to the target"
    assert not bool((ablated.active & ~batch.attention).any())
    before = (batch.attention & ~ablated.active)[:, :, None]
    start = (ablated.active.cumsum(1) == 1)[:, :, None]
    for ours, theirs, same in zip(
        (clean.input, *clean.z, *clean.mlp),
        (ablated.outputs.input, *ablated.outputs.z, *ablated.outputs.mlp),
        (again.outputs.input, *again.outputs.z, *again.outputs.mlp),
        strict=True,
    ):
        assert torch.equal(ours * before, theirs * before)
        assert bool(((ours - theirs).abs() * start).flatten(-2).amax(-1).gt(1e-9).all())
        assert torch.equal(theirs, same), "the same seed gives the same"
