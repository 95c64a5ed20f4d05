"""Problems and circuits that the tests of the evaluation share, and their naive values."""

import functools

import torch
from torch import Tensor

from acdc.patching.problem import Problem
from tests.oracle import naive_logits
from tests.tiny import tiny_batch, tiny_model


@functools.cache
def problem_of(family: str = "gpt2", metric: str = "kl", ablation: str = "corrupt", n: int = 6) -> Problem:
    return Problem.make(tiny_model(family), tiny_batch(n=n), metric=metric, ablation=ablation, seed=5)


def random_circuit(problem: Problem, share: float = 0.6, seed: int = 0) -> Tensor:
    """A random circuit without dangling edges."""
    graph, generator = problem.model.graph, torch.Generator().manual_seed(seed)
    return graph.prune(graph.edges_mask & (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share))


def naive_values(problem: Problem, mask: Tensor) -> Tensor:
    """Each prompt's value of the problem's metric, by the oracle's forward."""
    logits = naive_logits(problem.model, problem.batch, problem.ablated.outputs, mask)
    metric, batch = problem.objective.metric, problem.batch
    return metric.function(logits, batch.correct, batch.wrong, problem.clean.logits)


def naive_loss(problem: Problem, mask: Tensor) -> float:
    value = float(naive_values(problem, mask).mean())
    return -value if problem.objective.metric.higher_is_better else value


def snapshot(problem: Problem) -> list[Tensor]:
    """All that an evaluation could spoil."""
    tensors = [problem.clean.final, problem.clean.logits, *problem.clean.outputs.z, *problem.ablated.outputs.mlp]
    return [tensor.clone() for tensor in (*tensors, *problem.model.hf.parameters(), problem.batch.clean)]
