"""What is no merit of a circuit's features: what its errors keep alone, and beside as many features drawn at random."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.evaluation.values import Values, normalised
from acdc.features.circuits.circuit import FeatureCircuit
from acdc.features.circuits.masks import Kept, summed
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.runs import FeatureRuns

__all__ = ["Baselines", "measured_baselines", "n_compared"]


@dataclass(frozen=True)
class Baselines:
    """Normalised faithfulness, by the problem's metric, of what a circuit is compared with.

    Attributes:
        errors_alone: The circuit's error nodes and no feature; None where it has none.
        random: Its error nodes, and at each site and span as many features as it has, drawn from those that change when
            they are ablated: one number a draw.
        overlap: The share of the circuit's features that these have too, in the mean; None without features.
    """

    errors_alone: float | None
    random: tuple[float | None, ...]
    overlap: float | None


def n_compared(circuit: FeatureCircuit, n_random: int) -> int:
    """How many circuits are run for it."""
    errors = sum(name.index is None for name in circuit.names)
    return (errors > 0) + (n_random if errors < len(circuit.names) else 0)


def measured_baselines(
    runs: FeatureRuns,
    circuit: FeatureCircuit,
    n_random: int,
    mean: Callable[[Kept], float],
    own: Mapping[str, Values],
) -> Baselines:
    """What a circuit is compared with, on a problem's prompts.

    Args:
        mean: The mean of the problem's metric that a circuit has.
        own: The metric's values of `model` and `corrupted`.
    """

    def faithfulness(names: Iterable[NodeName]) -> float | None:
        found = mean(Kept.of(runs.placed, circuit.spans, names))
        return normalised(found, float(own["model"].mean()), float(own["corrupted"].mean()))

    errors = [name for name in circuit.names if name.index is None]
    features = {name for name in circuit.names if name.index is not None}
    drawn = list(_drawn_alike(runs, circuit, n_random)) if features else []
    shared = [len(features.intersection(names)) / len(features) for names in drawn]
    return Baselines(
        faithfulness(errors) if errors else None,
        tuple(map(faithfulness, drawn)),
        sum(shared) / len(shared) if shared else None,
    )


def _drawn_alike(runs: FeatureRuns, circuit: FeatureCircuit, n: int) -> Iterator[list[NodeName]]:
    """Random circuits: the errors of this one, and as many features of each site and span."""
    rng = random.Random(f"random features {runs.problem.seed}")
    errors = [name for name in circuit.names if name.index is None]
    counts = Counter((name.site, name.span) for name in circuit.names if name.index is not None)
    changing = {
        (site, span): mask[row].nonzero()[:, 0].tolist()
        for site, mask in zip(runs.placed.sites, _changing(runs), strict=True)
        for row, span in enumerate(runs.problem.batch.spans or ("",))
    }
    for _ in range(n):
        found = list(errors)
        for (site, span), many in counts.items():
            left = changing[site, span]
            found += [NodeName(site, i, span) for i in rng.sample(left, min(many, len(left)))]
        yield found


def _changing(runs: FeatureRuns) -> list[Bool[Tensor, "n_spans n_features"]]:
    """Which features have another value when they are ablated, by site."""
    found = [torch.zeros(()) for _ in runs.placed.sites]
    for piece in runs.pieces:
        ablated = runs.ablated(piece)
        for i, clean in enumerate(runs.clean(piece)):
            found[i] = found[i] + summed((ablated[i][0] - clean.features).abs(), piece.batch).cpu()
    return [each > 0 for each in found]
