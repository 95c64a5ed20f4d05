"""Compiled models: what their scripts make is what is shipped, and their true circuits are just what matters."""

import compile_brackets
import compile_frac_prevs
import compile_reverse
import pytest
import torch

from acdc.discovery.acdc import acdc
from acdc.patching.exact.state import CircuitState
from acdc.zoo import zoo_path
from tests.zoo.compiled import assert_shipped_as_made, problem_of, truth_of

SCRIPTS = {script.model().name: script for script in (compile_reverse, compile_frac_prevs, compile_brackets)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shipped_model_is_what_its_script_makes(name: str) -> None:
    assert_shipped_as_made(name, SCRIPTS[name])
    assert truth_of(name).provenance["task"] == name.removesuffix("-compiled")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shipped_model_is_small_and_ordinary(name: str) -> None:
    folder = zoo_path(name)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_sure_of_every_answer(name: str) -> None:
    problem = problem_of(name)
    assert problem.clean.logits.softmax(-1).gather(1, problem.batch.correct).min() > 0.99


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_true_edge_matters_and_no_other_does(name: str, seed: int) -> None:
    """Exact knock-outs of every edge alone, in the whole model, in float64."""
    problem, truth = problem_of(name, seed, "float64"), truth_of(name).mask
    edges = [tuple(edge) for edge in problem.model.graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    effects = (state.losses(edges) - state.loss).abs()
    true = torch.tensor([bool(truth[edge]) for edge in edges])
    assert effects[true].min() > 3, "nats, on average over the prompts"
    assert effects[~true].max() < 1e-6


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_true_circuit_alone_does_as_the_model_does(name: str) -> None:
    problem = problem_of(name, 2, "float64")
    assert abs(problem.objective.loss(problem.logits(truth_of(name).mask)).item()) < 1e-6
    torch.testing.assert_close(problem.logits(truth_of(name).mask), problem.clean.logits, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("seed", "tau", "metric"), [(0, 0.3, "kl"), (1, 0.001, "kl"), (2, 0.01, "logit_diff")])
def test_acdc_recovers_the_true_circuit_exactly(name: str, seed: int, tau: float, metric: str) -> None:
    found = acdc(problem_of(name, seed, metric=metric), tau=tau, sweeps=0, prune=False)
    assert problem_of(name).model.graph.edge_names(found.mask) == list(truth_of(name).edges)
    assert found.guarantees["minimal_at_tau"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_idle_nodes_do_write(name: str) -> None:
    """What discovery has to reject is more than silence: all heads, and all MLPs that have hidden units, write."""
    problem = problem_of(name)
    nodes = SCRIPTS[name].model()
    for layer, z in enumerate(problem.clean.outputs.z):
        W_O = problem.model.components.blocks[layer].attention.W_O
        written = torch.einsum("hbpe,hed->hbpd", z, W_O).flatten(1).norm(dim=1)
        assert bool((written > 0.1).all())
    for mlp in nodes.mlps:
        assert problem.clean.outputs.mlp[int(mlp[1:])].norm() > 0.1
