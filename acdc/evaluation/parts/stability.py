"""Part `stability`: how often is each edge found again on other prompts?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.circuits.overlap import jaccard
from acdc.errors import RunError
from acdc.evaluation.numbers import number
from acdc.evaluation.part import Line, Part
from acdc.evaluation.stability import rediscover, stability
from acdc.evaluation.work import Work
from acdc.patching.problem import Problem

__all__ = ["PART", "Stability"]


@dataclass(frozen=True)
class Stability(Part):
    """The circuits that the run's search finds on the discovery prompts of the `k` next seeds.

    Attributes:
        always, core, optional, jaccard, least_jaccard, sizes: See `acdc.evaluation.stability`.
        jaccard_with_this: The mean over them of the Jaccard index with the evaluated circuit.
        frequency: The share of them that keep each edge, for the edges that one of them keeps.
        forward_passes: Of all searches; None where a search doesn't count them.
    """

    name = "stability"
    summary = "how often each edge is found again on other prompts"
    order = 100
    unit = "searches"
    by_default = False

    k: int
    always: tuple[str, ...]
    core: tuple[str, ...]
    optional: tuple[str, ...]
    jaccard: float | None
    least_jaccard: float | None
    jaccard_with_this: float
    sizes: tuple[int, ...]
    frequency: Mapping[str, float]
    n_prompts: int
    forward_passes: int | None

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError("no circuit was found again")

    @classmethod
    def measure(cls, work: Work) -> "Stability":
        search, graph = work.searcher(), work.circuit.graph
        first = work.arguments["seed"] + 1
        again = work.problem_of_seed(first).batch
        if again.n_shared(work.discovery.batch) == again.n:
            raise RunError(
                "the task gives the same prompts for every seed, so there are no others to find the circuit on"
            )
        problems = (work.problem_of_seed(first + i) for i in range(work.k))
        passes = list[int | None]()

        def discover(problem: Problem) -> Circuit:
            circuit = search(problem)
            passes.append(circuit.provenance["forward_passes"])
            return circuit

        masks = rediscover(problems, discover, progress=lambda done: work.step(done, work.k))
        found, near = stability(graph, masks), [jaccard(work.mask, mask) for mask in masks]
        kept = found.frequency.nonzero().tolist()
        return cls(
            k=work.k,
            always=found.always,
            core=found.core,
            optional=found.optional,
            jaccard=found.jaccard,
            least_jaccard=found.least_jaccard,
            jaccard_with_this=sum(near) / len(near),
            sizes=found.sizes,
            frequency={graph.edge_name(i, j): float(found.frequency[i, j]) for i, j in kept},
            n_prompts=work.discovery.batch.n_pairs,
            forward_passes=None if None in passes else sum(filter(None, passes)),
        )

    @classmethod
    def is_done(cls, known: Mapping[str, Any], work: Work) -> bool:
        return bool(known.get("k") == work.k)

    def lines(self) -> Iterator[Line]:
        sizes = f"{min(self.sizes)} to {max(self.sizes)} edges"
        core = f"{len(self.always)} edges always, {len(self.core)} in 90%, {len(self.optional)} optional"
        yield self.name, f"Jaccard {number(self.jaccard)} over {self.k} other prompt sets ({sizes}): {core}"

    def edges(self) -> Mapping[str, Mapping[str, Any]]:
        return {"inclusion": self.frequency}


PART = Stability
