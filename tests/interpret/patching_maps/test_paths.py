"""Path patching and named effects: edges are those of the exact engine, paths through MLPs Wang's runs by hooks."""

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
from torch import Tensor

from acdc.errors import CircuitError, RunError, UnknownNameError
from acdc.interpret.patching_maps import effects, path_maps
from acdc.metrics import METRICS, Objective
from acdc.models import PatchableModel
from acdc.patching.direction import DENOISING, DIRECTIONS, directed
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from tests.interpret.patching_maps.hooked import hooked, logits, read, spot, with_own_keys
from tests.tiny import KeepDouble, tiny_batch, tiny_model


def without(model: PatchableModel, batch: PromptBatch, direction: str, edges: list[tuple[int, int]]) -> float:
    """The metric without edges, by the exact engine."""
    problem = directed(Problem.make(model, batch, metric="logit_diff"), direction)
    loss = CircuitState(problem).losses(edges, np.ones((1, len(edges)), bool)).item()
    return -loss if direction != DENOISING else loss


@pytest.mark.parametrize("receivers", (["a1.h1<q>"], ["a1.h0", "m1", "logits"]), ids=("one", "several"))
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("family", ("gpt2", "llama-gqa", "neox-parallel", "gemma2", "olmo2"))
def test_direct_paths_are_edges(family: str, direction: str, receivers: list[str]) -> None:
    with KeepDouble():
        model, batch = tiny_model(family), tiny_batch(n=2)
        graph = model.graph
        (found,) = path_maps(model, batch, receivers, through="none", directions=direction)
        dsts = [d for r in receivers for d in ([r] if r in graph.dst_index else [f"{r}<{kind}>" for kind in "qkv"])]
        for layer, h in np.ndindex(graph.n_layers, graph.n_heads + 1):
            src = graph.head_src(layer, h)
            edges = [(src, graph.dst_index[d]) for d in dsts if graph.edges_mask[src, graph.dst_index[d]]]
            assert found.trivial[layer, h] == (not edges)
            if edges:
                assert found.means[layer, h] == pytest.approx(without(model, batch, direction, edges), abs=1e-9)
            else:
                base = found.corrupt if direction == DENOISING else found.clean
                assert (found.patched[layer, h] == base).all()


def held(model: PatchableModel, base: Tensor, donor: Tensor, sender: tuple[int, int | None]) -> ExitStack:
    """Hooks that hold every head at the base run but the sender, which is the other run's, as Wang's third run does."""
    graph, stack = model.graph, ExitStack()
    heads = [(layer, h) for layer in range(graph.n_layers) for h in range(graph.n_heads)]
    places = [(spot(model, "z", *head), donor if head == sender else base) for head in heads]
    if sender[1] is None:
        places.append((spot(model, "mlp_out", sender[0]), donor))
    values = [read(model, ids, place) for place, ids in places]  # before any hook stays
    for (place, _), value in zip(places, values, strict=True):
        stack.enter_context(hooked(place, put(value)))
    return stack


def put(value: Tensor) -> Callable[[Tensor], None]:
    def change(x: Tensor) -> None:
        x[:] = value

    return change


@pytest.mark.parametrize("family", ("gpt2", "llama-gqa", "neox-parallel"))
@pytest.mark.parametrize("receivers", ([(1, 0, "q")], [(1, 1, "k"), (2, 0, "v")], []), ids=("one", "two", "logits"))
def test_paths_through_mlps_are_wang_s_runs(family: str, receivers: list[tuple[int, int, str]]) -> None:
    model, batch = tiny_model(family), tiny_batch(n=2, lengths=(5,), shared=1)
    model = with_own_keys(model) if family == "llama-gqa" else model
    n_layers = model.graph.n_layers
    receivers = [each for each in receivers if each[0] < n_layers]
    names = [f"a{layer}.h{h}<{kind}>" for layer, h, kind in receivers] or ["logits"]
    objective = Objective(METRICS["logit_diff"], batch, logits(model, batch.clean))
    maps = {each.direction: each for each in path_maps(model, batch, names)}
    for way in DIRECTIONS:
        base, donor = (batch.corrupt, batch.clean) if way == DENOISING else (batch.clean, batch.corrupt)
        for layer, column in np.ndindex(n_layers, model.graph.n_heads + 1):
            if maps[way].trivial[layer, column]:
                continue
            sender = (layer, column if column < model.graph.n_heads else None)
            if not receivers:
                with held(model, base, donor, sender):
                    found = logits(model, base)
            else:
                places = [spot(model, kind, at, h) for at, h, kind in receivers]
                inputs = []
                for place in places:
                    with held(model, base, donor, sender):
                        inputs.append(read(model, base, place))
                with ExitStack() as hooks:
                    for place, value in zip(places, inputs, strict=True):
                        hooks.enter_context(hooked(place, put(value)))
                    found = logits(model, base)
            expected = objective.values(found[:, objective.tokens]).numpy()
            np.testing.assert_allclose(maps[way].patched[layer, column], expected, atol=1e-10)


def test_a_named_sender_is_its_cell_of_the_map() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    for through in ("none", "mlps"):
        whole = path_maps(model, batch, "a2.h1<k>", through=through)
        named = path_maps(model, batch, "a2.h1<k>", through=through, senders=["a1.h0", "m0"])
        for one, other in zip(whole, named, strict=True):
            assert other.columns == ("a1.h0", "m0")
            np.testing.assert_allclose(other.patched[0], [one.patched[1, 0], one.patched[0, 2]], atol=1e-12)


@pytest.mark.parametrize("family", ("llama-gqa", "neox-parallel", "gemma2"))
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_named_effects_are_removals_from_the_whole_model(family: str, direction: str) -> None:
    with KeepDouble():
        model, batch = tiny_model(family), tiny_batch(n=2)
        graph = model.graph
        names = ["a0.h1", "m0", "input"]
        (found,) = effects(model, batch, nodes=names, edges="a0.h0->a1.h1<v>", directions=direction)
        assert found.rows == (*names, "a0.h0->a1.h1<v>", "all together")
        removed = [
            [(graph.src_index[name], d) for d in range(graph.n_dst) if graph.edges_mask[graph.src_index[name], d]]
            for name in names
        ] + [[graph.parse_edge("a0.h0->a1.h1<v>")]]
        for row, edges in enumerate([*removed, [edge for each in removed for edge in each]]):
            assert found.means[row, 0] == pytest.approx(without(model, batch, direction, edges), abs=1e-9)


def test_mistakes_are_told() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    with pytest.raises(UnknownNameError, match="node that reads 'a9"):
        path_maps(model, batch, "a9.h9<q>")
    with pytest.raises(UnknownNameError, match="node that writes 'logits'"):
        path_maps(model, batch, "a2.h1<q>", senders="logits")
    with pytest.raises(CircuitError, match=r"a2.h0 comes before none of the receivers"):
        path_maps(model, batch, "a2.h1<q>", senders="a2.h0")
    with pytest.raises(UnknownNameError, match="through"):
        path_maps(model, batch, "a2.h1<q>", through="heads")
    with pytest.raises(RunError, match="give logits by itself"):
        path_maps(model, batch, ["a2.h1<q>", "logits"])
    with pytest.raises(RunError, match="name the nodes"):
        effects(model, batch)
    with pytest.raises(CircuitError, match="does not come before"):
        effects(model, batch, edges="m1->a0.h0<q>")
