"""The runs between the clean and the ablated input, and what sources change from one to the next.

While the input goes straight from clean to ablated, other sources' outputs don't. So the way is cut into m increments,
at the sums b_j of the quadrature's weights, and the gradient that is taken at a_j, in increment j, is multiplied with
what the source changes there:

    Δ_j = out_s(b_j) - out_s(b_{j-1}) + w_j (ablated_s - out_s(1))

Its last term is zero where ablated outputs are those of the run on the ablated input; of others (zeros, means) it
spreads over the way what that run leaves out. No run is made but those at the a_j: an output at b_j is taken from the
straight line between the two runs beside it. That changes the sum by no more than midpoints themselves are off, which
is of second order in 1/m.

With `deltas="endpoint"` each gradient is multiplied with w_j (ablated_s - clean_s), as EAP-IG was published.

References: CEAP (arXiv 2606.16920); Dhamdhere, Sundararajan, Yan 2018, How Important is a Neuron (arXiv 1805.12233),
whose conductance the sums converge to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from acdc.discovery.attribution.quadrature import RandomQuadrature, quadrature_points, random_points
from acdc.patching.activations import NodeOutputs, mapped
from acdc.patching.gradient.attribution import Point
from acdc.patching.gradient.forward import forward, forward_with_outputs, summed_loss
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.problem import Problem

__all__ = ["Deltas", "InputPath"]

Deltas = Literal["local", "endpoint"]
Share = float | Float[Tensor, "batch 1 1"]  # of the way, for all prompts or each


@dataclass
class InputPath:
    """The runs between a problem's two inputs; notes the loss at the ablated one.

    Attributes:
        steps: Number of runs; None for 10, or 1 where they are drawn.
        ablated_loss: The sum of the prompts' losses on the ablated input, of the microbatches taken so far.
        drawn: For each prompt of these its random points.
    """

    problem: Problem
    deltas: Deltas
    quadrature: RandomQuadrature
    steps: int | None = None
    ablated_loss: float = 0.0
    drawn: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        steps = (1 if self.quadrature == "random" else 10) if self.steps is None else self.steps
        rule = "midpoint" if self.quadrature == "random" else self.quadrature
        self.points = quadrature_points(rule, steps)

    @property
    def runs(self) -> int:
        """How many runs' streams or outputs are held at once."""
        return 1 if self.deltas == "endpoint" else 5 if self.problem.ablated.coherent else 7

    @property
    def cost(self) -> dict[str, int]:
        """The clean run, the ablated one and the run on its input; and a run and its gradients for each step."""
        return {"forward_passes": 3 + len(self.points), "backward_passes": len(self.points)}

    @property
    def told(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"steps_taken": len(self.points)} | ({"drawn_points": self.drawn} if self.drawn else {})

    def __call__(self, microbatch: Microbatch) -> Iterator[Point]:
        streams, outputs = forward_with_outputs(microbatch, microbatch.input + microbatch.change.input)
        loss = float(summed_loss(microbatch, streams.final[:, -1]))
        end = None if self.deltas == "endpoint" or self.problem.ablated.coherent else outputs
        del streams, outputs  # not held while gradients are taken
        weights, drawn = [weight for _, weight in self.points], self._drawn(microbatch)
        noted = {"ablated_loss": loss, "drawn": [] if drawn is None else drawn.T.tolist()}
        places: list[Share] = [place for place, _ in self.points]
        if drawn is not None:
            places = list(drawn.to(microbatch.input.device)[:, :, None, None])
        if self.deltas == "endpoint":
            for place, weight in zip(places, weights, strict=True):
                yield Point(weight, forward(microbatch, _input(microbatch, place)), noted=noted)
        else:
            for point in _increments(microbatch, places, weights, end):
                yield point._replace(noted=noted)

    def take(self, noted: Mapping[str, Any]) -> None:
        """Take in what was noted of a microbatch, in whichever process."""
        self.ablated_loss += noted["ablated_loss"]
        self.drawn.extend(noted["drawn"])

    def _drawn(self, microbatch: Microbatch) -> Float64[Tensor, "steps n"] | None:
        """The points that are drawn for each prompt; None where they are the same for all."""
        if self.quadrature != "random":
            return None
        return random_points(microbatch.batch, len(self.points), self.problem.seed)


def _increments(
    microbatch: Microbatch, places: list[Share], weights: list[float], end: NodeOutputs | None
) -> Iterator[Point]:
    """The runs at `places`, each with what sources change around it.

    Args:
        end: The outputs of the run on the ablated input, where ablated outputs are others.
    """
    clean, change = microbatch.clean_outputs, microbatch.change
    last = mapped(torch.add, clean, change) if end is None else end
    rest = None if end is None else mapped(lambda c, d, e: c + d - e, clean, change, end)
    bounds, low = list(accumulate(weights)), clean
    streams, outputs = forward_with_outputs(microbatch, _input(microbatch, places[0]))
    for j, weight in enumerate(weights):
        here, high = streams, last
        if j + 1 < len(weights):
            streams, following = forward_with_outputs(microbatch, _input(microbatch, places[j + 1]))
            high = _between(outputs, following, (bounds[j] - places[j]) / (places[j + 1] - places[j]))
            outputs = following
        increment = mapped(torch.sub, high, low)
        low = high
        if rest is not None:
            increment = mapped(lambda x, r, w=weight: x + w * r, increment, rest)
        yield Point(1.0, here, change=increment)


def _input(microbatch: Microbatch, place: Share) -> Float[Tensor, "batch pos d_model"]:
    """The input that share of the way from clean to ablated."""
    x = microbatch.input
    return (x + place * microbatch.change.input).to(x.dtype)


def _between(low: NodeOutputs, high: NodeOutputs, share: Share) -> NodeOutputs:
    """Outputs that share of the way from `low` to `high`."""
    return mapped(lambda x, y: (x + share * (y - x)).to(x.dtype), low, high)
