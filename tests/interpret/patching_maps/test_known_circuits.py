"""Maps of models whose circuit is known: an AND and an OR of two heads, the compiled induction model, a real one."""

import numpy as np
import pytest
import torch
import transformers

from acdc.interpret.patching_maps import causal_trace, clean_batch, node_maps, path_maps
from acdc.models import PatchableModel
from acdc.patching.direction import DENOISING, NOISING
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.task import OnePrompt, load_task
from tests.tiny import NumberTokenizer

EPSILON = 1e6  # of LayerNorm: beside it no variance counts, so that it only divides by 1000 and takes a mean of 0 away
FLAG, A, B, ANSWER = (slice(2 * i, 2 * i + 2) for i in range(4))
PAIR = torch.tensor([1.0, -1.0], dtype=torch.float64) / 2  # a block's direction: its two numbers sum to 0


def gate(kind: str) -> PatchableModel:
    """Two heads write whether token 1 is there, .5 or 0, and an MLP of two ReLUs says whether both, or any, do."""
    config = transformers.GPT2Config(
        n_layer=1,
        n_head=2,
        n_embd=8,
        n_positions=4,
        vocab_size=50,
        n_inner=2,
        activation_function="relu",
        layer_norm_epsilon=EPSILON,
        tie_word_embeddings=False,
    )
    hf = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        scale = EPSILON**0.5
        hf.transformer.wte.weight[1, FLAG] = PAIR
        block = hf.transformer.h[0]
        for h, written in enumerate((A, B)):
            block.attn.c_attn.weight[FLAG, 16 + 4 * h] = 2 * scale * PAIR  # what a block holds, read with 2 * PAIR
            block.attn.c_proj.weight[4 * h, written] = PAIR
        for unit in range(2):
            for block_of in (A, B):
                block.mlp.c_fc.weight[block_of, unit] = 2 * scale * PAIR
        block.mlp.c_fc.bias[1] = -0.5
        weights = (0.0, 1.0) if kind == "and" else (1.0, -1.0)  # relu(a + b - .5), or what is cut off at .5
        for unit, weight in enumerate(weights):
            block.mlp.c_proj.weight[unit, ANSWER] = weight * PAIR
        hf.lm_head.weight[2, ANSWER] = 2 * scale * PAIR
    return PatchableModel(hf, NumberTokenizer(), name=kind)


@pytest.mark.parametrize(("kind", "noise", "denoise"), [("and", 1, 0), ("or", 0, 1)])
def test_noising_finds_the_members_of_an_and_and_denoising_those_of_an_or(kind: str, noise: int, denoise: int) -> None:
    model = gate(kind)
    batch = PromptBatch.from_pairs([PromptPair([1, 4], [3, 4], [2], [5])], NumberTokenizer())
    maps = {each.direction: each for each in node_maps(model, batch, sites="z")}
    assert maps[NOISING].clean[0] == pytest.approx(0.5, abs=1e-6)
    assert maps[NOISING].corrupt[0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(maps[NOISING].values, [[noise, noise]], atol=1e-5)
    np.testing.assert_allclose(maps[DENOISING].values, [[denoise, denoise]], atol=1e-5)


def test_the_compiled_induction_model_s_map_is_nonzero_at_its_true_nodes_alone() -> None:
    """True edges: input->a0.h2<v>, input->a1.h1<q>, input->a1.h1<v>, a0.h2->a1.h1<k>, a1.h1->logits."""
    model = PatchableModel.from_pretrained("induction-compiled", dtype="float64")
    batch = load_task("induction").batch(model.tokenizer, 8)
    options = {"metrics": "kl", "directions": NOISING}
    found = node_maps(model, batch, sites=("z", "q", "k", "v", "mlp_out"), columns="end", **options)
    nonzero = {
        each.site: {each.cell(row, column).node for row, column in np.argwhere(np.abs(each.values) > 1e-4).tolist()}
        for each in found
    }
    both = {"a0.h2", "a1.h1"}
    assert nonzero == {"z": both, "q": {"a1.h1"}, "k": {"a1.h1"}, "v": both, "mlp_out": set()}
    (paths,) = path_maps(model, batch, "a1.h1<k>", through="none", **options)
    assert [paths.cell(*place).node for place in np.argwhere(np.abs(paths.values) > 1e-4).tolist()] == ["a0.h2"]


@pytest.mark.real
def test_the_real_model_s_facts_are_at_the_country_and_then_at_the_end() -> None:
    model = PatchableModel.from_pretrained("smollm2")
    pair = OnePrompt("The capital of Italy is", "The capital of France is", [" Rome"], [" Paris"])
    maps = node_maps(model, pair.batch(model.tokenizer, 1), sites=("resid_pre", "z"), directions=DENOISING)
    states, heads = maps
    country = [("Italy" in label) for label in states.columns].index(True)
    assert states.values[1, country] > 0.8 and states.values[-2, -1] > 0.8, "it moves from the country to the end"
    assert abs(states.values[1, -1]) < 0.2 and abs(states.values[-2, country]) < 0.2
    assert (states.values[:, :country] == 0).all()
    assert heads.strongest(1)[0].node
    batch = clean_batch(model.tokenizer, ["The capital of Italy is"], [[" Rome"]])
    trace = causal_trace(model, batch, "Italy", sites="resid_pre", samples=3)
    assert trace.maps[0].values[1, country] > 0.5
