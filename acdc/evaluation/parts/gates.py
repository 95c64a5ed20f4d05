"""Part `gates`: is an edge one of several that are needed together, one of several that are each enough, or a summand?

Of every edge of the circuit two exact effects in the whole model are read together, each as a share of what removing
all edges does (Chen et al. 2025; Heimersheim & Nanda 2024, section 3):

    noise[e]   = (loss(clean run with e spoilt) - loss(clean)) / (loss(corrupted) - loss(clean))
    denoise[e] = (loss(corrupted) - loss(corrupted run with e restored)) / (loss(corrupted) - loss(clean))

| label | rule | toy |
|---|---|---|
| AND | denoise is less than a third of noise | both of two are needed: noise 1, denoise 0 |
| OR | noise is less than a third of denoise | either of two is enough: noise 0, denoise 1 |
| ADDER | neither | each of two gives a half: noise and denoise 1/2; an edge that alone carries all: 1 and 1 |
| none | both are within .05 of 0 | |
| against | one is below -.05 | |
| undetermined | the two sets of prompts give different labels | |

An edge of an AND within a path that has a backup is none by this rule: neither spoiling nor restoring it alone shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.errors import RunError
from acdc.evaluation.cost import Cost
from acdc.evaluation.knockouts import STARTING, knock_out_edges
from acdc.evaluation.numbers import Number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.work import Work
from acdc.patching.direction import DENOISED, denoising
from acdc.patching.problem import Problem

__all__ = ["LABELS", "PART", "Gate", "Gates", "gates_of", "label_of"]

LABELS = ("AND", "OR", "ADDER", "against", "none", "undetermined")
LEAST, RATIO = 0.05, 3
SHOWN = 3  # edges of a label in the summary


@dataclass(frozen=True)
class Gate:
    """One edge: its label, and the two shares on the prompts of the evaluation."""

    label: str
    noise: Number
    denoise: Number


@dataclass(frozen=True)
class Gates(Part):
    """The label of every edge of the circuit, and backups that it lacks.

    Attributes:
        edges_of_circuit: By name.
        backups: Edges outside the circuit into a destination that an OR edge of the circuit enters, which are OR too.
        least: Shares of this size and below count as none.
    """

    name = "gates"
    summary = "whether edges are needed together (AND), back each other up (OR), or add up (ADDER)"
    order = 110
    unit = "sets of effects"
    by_default = False

    edges_of_circuit: Mapping[str, Gate]
    backups: Mapping[str, Gate]
    least: float
    n_prompts: int
    forward_passes: int

    @classmethod
    def measure(cls, work: Work) -> "Gates":
        _check(work)
        problems = [work.problem] if work.problem is work.discovery else [work.problem, work.discovery]
        found, passes = gates_of(problems, work.mask)
        work.step(1, 2)
        graph, behind = work.circuit.graph, torch.zeros_like(work.mask)
        for name, gate in found.items():
            if gate.label == "OR":
                behind[:, graph.parse_edge(name)[1]] = True
        others, more = gates_of(problems, graph.edges_mask & behind & ~work.mask)
        work.step(2, 2)
        backups = {name: gate for name, gate in others.items() if gate.label == "OR"}
        return cls(found, backups, LEAST, work.problem.batch.n_pairs, passes + more)

    @classmethod
    def cost(cls, work: Work) -> Cost:
        _check(work)
        into = work.circuit.graph.edges_mask & work.mask.any(0)
        n_prompts = {id(problem): problem.batch.n for problem in (work.problem, work.discovery)}
        passes = 2 * (int(into.sum()) + 2 * STARTING)
        return Cost(passes * len(n_prompts), dense=passes * sum(n_prompts.values()))

    def lines(self) -> Iterator[Line]:
        for label in LABELS:
            names = [name for name, gate in self.edges_of_circuit.items() if gate.label == label]
            if names:
                yield f"gates, {label}", _some(names)
        if self.backups:
            yield "backups outside", _some(list(self.backups))

    def edges(self) -> Mapping[str, Mapping[str, Any]]:
        both = {**self.edges_of_circuit, **self.backups}
        return {
            "gate": {name: gate.label for name, gate in both.items()},
            "noise_share": {name: gate.noise for name, gate in both.items()},
            "denoise_share": {name: gate.denoise for name, gate in both.items()},
        }


def gates_of(problems: list[Problem], mask: Bool[Tensor, "src dst"]) -> tuple[dict[str, Gate], int]:
    """The label of each edge of the mask, by name, and the forward passes that it took.

    Args:
        problems: One or more sets of prompts; the shares are the first's, and a label is that which all agree about.

    Raises:
        RunError: Removing every edge changes nothing.
    """
    graph, passes = problems[0].graph, 0
    if not bool(mask.any()):
        return {}, 0
    each = []
    for problem in problems:
        whole = problem.empty_loss - problem.model_loss
        if not whole:
            raise RunError("removing every edge doesn't change the metric, so no edge has a share in it")
        shares = list[Float64[Tensor, "src dst"]]()
        for turned in (problem, denoising(problem)):
            found = knock_out_edges(turned, graph.edges_mask, only=mask)
            shares.append(found.effects / whole)
            passes += found.forward_passes
        each.append(shares)
    gates = {}
    for i, j in mask.nonzero().tolist():
        pairs = [(float(noise[i, j]), float(denoise[i, j])) for noise, denoise in each]
        labels = {label_of(*pair) for pair in pairs}
        gates[graph.edge_name(i, j)] = Gate(labels.pop() if len(labels) == 1 else "undetermined", *pairs[0])
    return gates, passes


def label_of(noise: float, denoise: float) -> str:
    """The label of an edge with these shares.

    >>> label_of(1.0, 0.0), label_of(0.0, 1.0), label_of(0.5, 0.5), label_of(0.01, 0.02), label_of(-0.3, -0.3)
    ('AND', 'OR', 'ADDER', 'none', 'against')
    """
    if min(noise, denoise) < -LEAST:
        return "against"
    if max(noise, denoise) <= LEAST:
        return "none"
    if RATIO * denoise < noise:
        return "AND"
    return "OR" if RATIO * noise < denoise else "ADDER"


def _check(work: Work) -> None:
    if work.ablation != DENOISED:
        raise RunError(f"denoising needs ablation {DENOISED!r}, not {work.ablation!r}")


def _some(names: list[str]) -> str:
    return f"{len(names)}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"


PART = Gates
