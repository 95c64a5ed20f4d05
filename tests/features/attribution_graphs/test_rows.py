"""A row is what the replacement model computes with all held; a transcoder that is the MLP leaves no error."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from acdc.errors import ModelError, RunError, TaskError
from acdc.features.activations import ReLU
from acdc.features.attribution_graphs import trace
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site
from acdc.models import PatchableModel
from tests.configs import CONFIGS
from tests.features.attribution_graphs.transcoders import PROMPT, held_values, transcoders
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import KeepDouble, NumberTokenizer, tiny_model


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("gpt2", {"skip": True}),
        ("llama-gqa", {"kind": "resid_mid", "cross": True}),
        ("gemma2", {"skip": True, "cross": True}),
        ("neox-parallel", {}),
    ],
)
def test_values_are_linear_in_all_sources_with_patterns_and_norms_held(family: str, options: dict) -> None:
    """For any factors of the sources: values = bias + A factors. All factors 1: rows sum to the real pre-activations;
    all 0: biases; one of them c: A (c - 1)."""
    with KeepDouble():
        model = tiny_model(family)
        dictionaries = transcoders(model, **options)
        graph = trace(model, PROMPT, dictionaries)
        at = held_values(model, dictionaries, graph)
        assert graph.left_out == 0 and {node.kind for node in graph.nodes} == {"token", "feature", "error", "logit"}
        bias = np.array([graph.nodes[row].bias for row in graph.rows])
        n = len(graph.nodes)
        for factors in (np.zeros(n), np.ones(n), np.random.default_rng(0).random(n)):
            np.testing.assert_allclose(at(factors), bias + graph.weights @ factors, atol=1e-10, rtol=0)


def relu_model() -> PatchableModel:
    torch.manual_seed(0)
    config = CONFIGS["gpt2"]()
    config.activation_function = "relu"
    hf = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.normal_(std=0.3)
    return PatchableModel(hf, NumberTokenizer(), name="relu")


def test_a_transcoder_that_is_the_mlp_leaves_no_error() -> None:
    model = relu_model()
    exact = []
    for layer, block in enumerate(model.hf.transformer.h):
        first, last = block.mlp.c_fc, block.mlp.c_proj
        out = Site(layer, "mlp_out")
        weights = (first.weight.T, first.bias, last.weight[:, None], last.bias[None])
        exact.append(Dictionary("mlp", Site(layer, "mlp_in"), (out,), *(x.detach() for x in weights), ReLU()))
    graph = trace(model, PROMPT, exact)
    of_errors = np.abs(graph.weights[:, graph.is_of("error")])
    assert of_errors.size and of_errors.max() < 1e-12
    assert graph.replacement == pytest.approx(1, abs=1e-12) and graph.completeness == pytest.approx(1, abs=1e-12)
    without = trace(model, PROMPT, exact[1:])  # the first layer's MLP is all error
    assert without.replacement is not None and without.replacement < 0.95 and "of layer 0:" in without.notes[0]


def test_fewer_features_are_the_most_influential_and_what_is_left_out_is_told() -> None:
    model = tiny_model("gpt2")
    dictionaries = transcoders(model)
    whole, some = trace(model, PROMPT, dictionaries), trace(model, PROMPT, dictionaries, max_features=20)
    rows = {whole.nodes[row].id: i for i, row in enumerate(whole.rows)}
    kept = [whole.places[node.id] for node in some.nodes]
    features = [node for node in some.nodes if node.kind == "feature"]
    assert len(features) == 20 and some.n_active == int(whole.is_of("feature").sum())
    for i, row in enumerate(some.rows):
        node, full = some.nodes[row], whole.weights[rows[some.nodes[row].id]]
        np.testing.assert_allclose(some.weights[i], full[kept], atol=1e-12)
        assert some.weights[i].sum() + node.left_out + node.bias == pytest.approx(node.value, abs=1e-10)
    weakest = sorted(whole.nodes[whole.places[node.id]].influence for node in features)
    left = [node.influence for node in whole.nodes if node.kind == "feature" and node.id not in some.places]
    assert np.mean(left) < np.mean(weakest) and 0 < some.left_out < 1
    logits = some.is_of("logit")
    assert 1 <= logits.sum() <= 10
    probabilities = [node.probability for node in some.nodes if node.kind == "logit"]
    alone = trace(model, PROMPT, dictionaries, max_logits=1)
    assert [node.probability for node in alone.nodes if node.kind == "logit"] == [max(probabilities)]


def test_how_many_passes_are_made_at_once_changes_nothing() -> None:
    model = tiny_model("gpt2")
    dictionaries = transcoders(model, cross=True)
    found, right = (trace(model, PROMPT, dictionaries, memory=m) for m in (1, 2**30))
    assert [node.id for node in found.nodes] == [node.id for node in right.nodes]
    order = np.argsort(found.rows), np.argsort(right.rows)
    np.testing.assert_allclose(found.weights[order[0]], right.weights[order[1]], atol=1e-12)


def test_a_dictionary_may_have_another_type_than_the_model() -> None:
    model = tiny_model("gpt2")
    exact = transcoders(model, skip=True)
    found, right = (trace(model, PROMPT, each) for each in ([x.to(torch.float32) for x in exact], exact))
    assert [node.id for node in found.nodes] == [node.id for node in right.nodes]
    order = np.argsort(found.rows), np.argsort(right.rows)
    np.testing.assert_allclose(found.weights[order[0]], right.weights[order[1]], atol=1e-4)


def test_what_is_no_transcoder_of_the_model_is_refused() -> None:
    model = tiny_model("gpt2")
    first, *others = transcoders(model)
    bad = {
        "is an SAE of resid_post.1": (tiny_dictionary(),),
        "both read layer 0": (first, *others, first),
        "reads attn_out.0": (replace(first, reads=Site(0, "attn_out")),),
        "writes mlp_out.0 and reads mlp_in.1": (replace(first, reads=Site(1, "mlp_in")),),
        "writes resid_post.0": (replace(first, writes=(Site(0, "resid_post"),)),),
        "normalises each token": (replace(first, normalization=_Doubled()),),
        "reads 8 dimensions at mlp_in.0, but 'gpt2' has 16": (replace(first, encoder=first.encoder[:, :8]),),
    }
    for message, dictionaries in bad.items():
        with pytest.raises(ModelError, match=message):
            trace(model, PROMPT, dictionaries)
    with pytest.raises(TaskError, match="longer than the context"):
        trace(model, "1 " * 33)
    with pytest.raises(TaskError, match="empty"):
        trace(model, "")
    for option in ({"max_features": 0}, {"max_logits": 0}, {"probability": 1.5}):
        with pytest.raises(RunError, match=next(iter(option))):
            trace(model, PROMPT, **option)


class _Doubled:
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    def undone(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return y / 2
