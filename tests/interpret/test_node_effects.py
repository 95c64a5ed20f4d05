"""A node's effect is that of a masked forward without its outgoing edges, in every family and with every ablation."""

import pytest
import torch

from acdc.errors import UnknownNameError
from acdc.interpret.node_effects import node_effects
from acdc.patching.problem import Problem
from tests.configs import CONFIGS
from tests.tiny import kept_double, split_batch, tiny_batch, tiny_model

CASES = [(family, "corrupt") for family in sorted(CONFIGS)]
CASES += [(family, ablation) for family in ("gpt2", "gemma2", "gptj") for ablation in ("zero", "mean-positional")]


@pytest.mark.parametrize("family, ablation", CASES)
def test_it_is_a_masked_forward_without_the_node(family: str, ablation: str) -> None:
    lengths = (7, 7, 7, 7) if ablation == "mean-positional" else (7, 9, 6, 9)
    with kept_double(family):
        model = tiny_model(family)
        problem = Problem.make(model, tiny_batch(lengths=lengths), metric="logit_diff", ablation=ablation)
        found = node_effects(problem, model.graph.sources[1:])
        for name, effect in found.items():
            mask = model.graph.edges_mask.clone()
            mask[model.graph.src_index[name]] = False
            expected = problem.loss(problem.logits(mask)) - problem.model_loss
            assert float(effect.mean()) == pytest.approx(expected, rel=1e-7, abs=1e-9), name


@pytest.mark.parametrize("family", ["gpt2", "gptj"])
def test_a_node_at_a_span_is_a_masked_forward_without_its_edges_there(family: str) -> None:
    problem = Problem.make(tiny_model(family), split_batch(), metric="logit_diff")
    graph, loss = problem.graph, problem.model_loss
    sites = [site for site in graph.sites if not site.startswith("input")]
    for (name, effect), site in zip(node_effects(problem, sites).items(), sites, strict=True):
        src, span = divmod(graph.sites.index(site), graph.n_spans)
        mask = graph.edges_mask.clone()
        graph.by_span(mask)[src, :, span] = False
        assert float(effect.mean()) == pytest.approx(problem.loss(problem.logits(mask)) - loss, rel=1e-7, abs=1e-9)
        assert name == site
    with pytest.raises(UnknownNameError, match="unknown span 'S3'"):
        node_effects(problem, ["m0@S3"])


def test_progress_is_told_and_other_nodes_are_refused() -> None:
    problem, told = Problem.make(tiny_model("gpt2"), tiny_batch(), metric="nll"), list[tuple[int, int]]()
    found = node_effects(problem, ["m0", "a1.h0"], step=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)] and all(x.dtype == torch.float64 for x in found.values())
    for name in ("input", "logits", "a9.h9"):
        with pytest.raises(UnknownNameError, match="head or MLP"):
            node_effects(problem, [name])
