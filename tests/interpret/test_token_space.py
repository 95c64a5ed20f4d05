"""What nodes write and read in token space, against the whole matrices written out."""

import pytest
import torch
from tokenizers import AddedToken
from torch import Tensor

from acdc.errors import CircuitError
from acdc.interpret.direct import direct_attribution
from acdc.interpret.mlp_reads import mlp_reads
from acdc.interpret.ov_tokens import ov_tokens, ov_writes
from acdc.interpret.vocabulary import ordinary_tokens
from acdc.interpret.writes import node_writes, writes_frame
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from tests.configs import ONE_EACH, VOCAB
from tests.tiny import KeepDouble, kept_double, tiny_batch, tiny_model


@pytest.mark.parametrize("family", ONE_EACH)
def test_what_a_node_writes_is_its_direct_attribution_to_every_token(family: str) -> None:
    """The ablated output taken away, and relative to the mean token."""
    model, batch = tiny_model(family), tiny_batch()
    with kept_double(family), KeepDouble():
        problem = Problem.make(model, batch)
        minus = problem.ablated.outputs
        logits = {
            token: direct_attribution(model, batch, towards=token, cache=problem.clean, minus=minus)
            for token in range(VOCAB)
        }
        for node in ("a1.h1", "m0", "input") if model.graph.n_layers > 1 else ("a0.h1", "m0", "input"):
            (found,) = node_writes(model, batch, [node], minus=minus, cache=problem.clean, top=VOCAB)
            values = torch.stack([logits[token].of(node).mean() for token in range(VOCAB)])
            values = values - values.mean()
            listed = dict(found.up)
            assert list(listed) == list(dict(reversed(found.down)))
            ours = torch.tensor([listed[str(token)] for token in range(VOCAB)], dtype=torch.float64)
            torch.testing.assert_close(ours, values, atol=1e-9, rtol=0)


def test_without_a_baseline_the_whole_output_counts_and_tables_list_it() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    found = node_writes(model, batch, ["a2.h0", "m1"], top=3)
    frame = writes_frame(found)
    assert len(frame) == 2 * 2 * 3 and frame["logit"][0] == found[0].up[0][1] > found[0].up[1][1]
    token = int(found[0].up[0][0])
    raised, mean = (
        sum(direct_attribution(model, batch, towards=each).of("a2.h0").mean() for each in tokens) / len(tokens)
        for tokens in ([token], range(VOCAB))
    )
    torch.testing.assert_close(torch.tensor(found[0].up[0][1], dtype=torch.float64), raised - mean)


def every_output(model: PatchableModel, layer: int, head: int) -> Tensor:
    """`z(t, s)` of all tokens: the matrix written out, the final norm as its weight and its centring."""
    parts, ids = model.components, torch.arange(VOCAB)[:, None]
    block = parts.blocks[layer]
    x = parts.embed(ids, torch.ones_like(ids))[:, 0]
    if layer:
        x = x + parts.blocks[0].mlp(parts.blocks[0].ln2(x))
    attention = block.attention
    written = block.ln1(x) @ attention.W_V[head // attention.group] @ attention.W_O[head]
    if attention.gain is not None:
        written = written * attention.gain
    at = torch.linspace(-1, 1, x.shape[1], dtype=x.dtype)
    base = parts.ln_final(at)
    centring = torch.allclose(parts.ln_final(at + 1), base)
    weight = (base - parts.ln_final(torch.zeros_like(at))) / at
    written = written - written.mean(1, keepdim=True) if centring else written
    out = (weight * written) @ parts.unembed.T
    return (out - out.mean(1, keepdim=True)) / out.std(1, correction=0, keepdim=True)


@pytest.mark.parametrize("family", ONE_EACH)
def test_ov_circuits_are_the_whole_matrices(family: str) -> None:
    model = tiny_model(family)
    with kept_double(family), KeepDouble(), torch.no_grad():
        for layer in range(min(2, model.graph.n_layers)):
            z = every_output(model, layer, 1)
            (found,) = ov_tokens(model, [f"a{layer}.h1"], top=VOCAB)
            own = torch.tensor([dict(found.copies)[str(t)] for t in range(VOCAB)], dtype=torch.float64)
            torch.testing.assert_close(own, z.diagonal(), atol=1e-8, rtol=0)
            torch.testing.assert_close(found.median, float(z.diagonal().median()), atol=1e-8, rtol=0)
            assert found.copies[0] == found.suppresses[-1]
            ((up, down),) = ov_writes(model, f"a{layer}.h1", [7], top=VOCAB)
            row = torch.tensor([dict(up)[str(t)] for t in range(VOCAB)], dtype=torch.float64)
            torch.testing.assert_close(row, z[7], atol=1e-8, rtol=0)
            assert down[0] == up[-1]


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "gemma2"])
def test_an_mlp_reads_the_tokens_that_make_it_write_more(family: str) -> None:
    """A small step of its input towards each token, its norm too: central differences."""
    model, batch = tiny_model(family), tiny_batch()
    with kept_double(family), KeepDouble(), torch.no_grad():
        problem, ids = Problem.make(model, batch), torch.arange(VOCAB)[:, None]
        first, (zero, block) = model.embed(ids, torch.ones_like(ids))[:, 0], model.components.blocks[:2]
        for node, mlp, tokens in (("m0", zero, first), ("m1", block, first + zero.mlp(zero.ln2(first)))):
            layer = int(node[1])
            written = (problem.clean.outputs.mlp[layer] - problem.ablated.outputs.mlp[layer])[:, -1]
            unit, x = written / written.norm(dim=-1, keepdim=True), problem.clean.resid_mid[layer][:, -1]
            wanted = torch.stack(
                [
                    sum(sign * (mlp.mlp(mlp.ln2(x + sign * 1e-5 * token)) * unit).sum() for sign in (1, -1)) / 2e-5
                    for token in tokens
                ]
            )
            (found,) = mlp_reads(model, problem.clean, [node], minus=problem.ablated.outputs, top=VOCAB)
            ours = torch.tensor([dict(found.up)[str(token)] for token in range(VOCAB)], dtype=torch.float64)
            wanted = (wanted - wanted.mean()) / wanted.std(correction=0)
            torch.testing.assert_close(ours, wanted.double(), atol=1e-5, rtol=0)
            assert list(dict(found.up)) == list(dict(reversed(found.down)))


def test_memory_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama-gqa")
    whole = ov_tokens(model, ["a1.h3", "a0.h0"])
    monkeypatch.setattr("acdc.interpret.effective.MEMORY", 4 * 16 * 32 * 7)
    for one, other in zip(whole, ov_tokens(model, ["a1.h3", "a0.h0"]), strict=True):
        assert [token for token, _ in one.copies] == [token for token, _ in other.copies]
        torch.testing.assert_close([z for _, z in one.copies], [z for _, z in other.copies])


def test_special_tokens_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    before = node_writes(model, batch, ["m1"], top=VOCAB)[0].up
    first = int(before[0][0])
    added = {first: AddedToken("x", special=True), int(before[1][0]): AddedToken("y", special=False)}
    monkeypatch.setattr(type(model.tokenizer), "added_tokens_decoder", added, raising=False)
    assert int(ordinary_tokens(model).sum()) == VOCAB - 1
    monkeypatch.setattr(type(model.tokenizer), "all_special_ids", [first], raising=False)
    assert int(ordinary_tokens(model).sum()) == VOCAB - 1
    after = node_writes(model, batch, ["m1"], top=VOCAB)[0].up
    assert [token for token, _ in after] == [token for token, _ in before[1:]]
    assert sum(value for _, value in after) == pytest.approx(0, abs=1e-9)
    assert str(first) not in dict(ov_tokens(model, ["a1.h0"], top=VOCAB)[0].copies)


def test_other_nodes_are_refused() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    with pytest.raises(CircuitError, match="'logits' writes nothing"):
        node_writes(model, batch, ["logits"])
    for node in ("m0", "a9.h0"):
        with pytest.raises(CircuitError, match=f"'{node}' is no head"):
            ov_tokens(model, [node])
    for node in ("a0.h0", "m9"):
        with pytest.raises(CircuitError, match=f"'{node}' is no MLP"):
            mlp_reads(model, Problem.make(model, batch).clean, [node])
