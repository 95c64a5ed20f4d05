"""`CircuitState` with edges split by span: its answers are the masked forward's, and a change stays in its span."""

import numpy as np
import pytest
import torch

from acdc.patching.exact.reachability import reach, reading
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from tests.cases import covering
from tests.configs import ONE_EACH
from tests.patching.exact.test_state import check_random_removals, loss_of, random_mask
from tests.tiny import KeepDouble, kept_double, split_batch, tiny_batch, tiny_model


@pytest.mark.parametrize(
    ("ablation", "family"),
    [("corrupt", family) for family in ONE_EACH]
    + [("zero", family) for family in ("gpt2", "llama-gqa", "gemma2", "olmo2", "gpt-oss")],
)
def test_random_removals_in_any_order_give_the_masked_forward_s_loss(ablation: str, family: str) -> None:
    with KeepDouble() if ablation == "zero" else kept_double(family):
        problem = Problem.make(tiny_model(family), split_batch(), ablation=ablation)
        check_random_removals(problem, CircuitState(problem), steps=5)


@pytest.mark.parametrize(("family", "share"), covering(ONE_EACH, [0.1, 0.5]))
def test_a_state_that_starts_at_any_circuit_gives_the_masked_forward_s_loss(family: str, share: float) -> None:
    with kept_double(family):
        problem = Problem.make(tiny_model(family), split_batch())
        state = CircuitState(problem, random_mask(problem.graph, share))
        assert state.loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)
        check_random_removals(problem, state, steps=4)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_removals_in_acdc_s_order(family: str) -> None:
    """Late destinations first, many at a time, so that removals wait and are folded in."""
    with kept_double(family):
        problem = Problem.make(tiny_model(family), split_batch())
        state = CircuitState(problem)
        rng = np.random.default_rng(0)
        for dst in reversed(range(problem.graph.n_dst)):
            edges = [(int(src), dst) for src in np.flatnonzero(state.mask[:, dst])]
            if not edges:
                continue
            if state.is_useful(dst):
                removed = np.tril(np.ones((len(edges), len(edges)), bool))
                losses = state.losses(edges, removed)
                n = int(rng.integers(len(edges))) + 1
                mask = torch.from_numpy(state.mask.copy())
                mask[[src for src, _ in edges[:n]], dst] = False
                if dst % 3 == 0:
                    assert losses[n - 1].item() == pytest.approx(loss_of(problem, mask), abs=1e-10)
                state.remove(edges[:n], losses[n - 1].item())
            else:
                state.remove(edges)
        assert state.loss == pytest.approx(loss_of(problem, torch.from_numpy(state.mask)), abs=1e-10)


def test_one_edge_at_all_spans_is_the_whole_edge() -> None:
    whole, split = (Problem.make(tiny_model("llama-gqa"), batch) for batch in (tiny_batch(), split_batch()))
    states = CircuitState(whole), CircuitState(split)
    assert states[0].loss == pytest.approx(states[1].loss, abs=1e-12)
    n = split.graph.n_spans
    for src, dst in ((0, 3), (2, whole.graph.mlp_dst(1)), (1, whole.graph.head_dst(1, "k"))):
        at_spans = [(src, dst * n + span) for span in range(n)]
        together = states[1].losses(at_spans, np.ones((1, n), bool))
        torch.testing.assert_close(together, states[0].losses([(src, dst)]), atol=1e-10, rtol=0)


def test_a_change_reaches_only_where_attention_carries_it() -> None:
    """A query's or an MLP's changes stay in the span; a key's go to the spans that attend to it."""
    problem = Problem.make(tiny_model("gpt2"), split_batch(lengths=(9, 9)))
    graph, kept = problem.graph, problem.graph.edges_mask.numpy()
    read, sizes = reading(graph, kept), [float(size) for size in CircuitState(problem).cache.rows.sizes]
    last = graph.n_layers - 1
    of_mlp = reach(graph, kept, read, [graph.mlp_dst(last)])
    assert of_mlp.counts == (0,) * (graph.n_spans + 1) and not of_mlp.logits, "the logits read the last span alone"
    of_query = reach(graph, kept, read, [graph.head_dst(0, "q") + 1])
    assert of_query.layers[0].heads[1] == [0] and of_query.layers[0].heads[0] == []
    of_key = reach(graph, kept, read, [graph.head_dst(last, "k") + 0])
    assert of_key.layers[last].heads == ([], [], [], [0]), "a last layer's head is read at the last position alone"
    assert of_key.work(sizes) < of_query.work(sizes)
