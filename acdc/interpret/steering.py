"""Steering: adding a direction to the residual stream, or taking it out, and what that does.

The direction is a difference of means (CAA: Panickssery et al. 2023; refusal: Arditi et al. 2024), from one class of
prompts to the other, at one place before one block, both chosen on the discovery prompts. A held-out prompt is steered
away from its own class: at strength 1 its class's mean becomes the other's. So where the model reads the label there,
the metric falls. Beside it: a random direction of the same length, and what the direction does to text that has nothing
to do with the task, where it is added at every token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.evaluation.values import performance_metric
from acdc.interpret.continued import continued, resid_at
from acdc.interpret.effects import Effect, effect_on
from acdc.interpret.labels import labelled
from acdc.interpret.neutral import mean_kl, neutral_batch
from acdc.interpret.places import Places, places_of
from acdc.interpret.probe_split import split_of
from acdc.interpret.probes import default_label
from acdc.interpret.residuals import residuals, rows_of, stream_names
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.patching.activations import ActivationCache, run
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STRENGTHS", "Direction", "Steered", "find_direction", "random_like", "steer", "steer_all"]

STRENGTHS = (-1.0, 0.0, 0.5, 1.0, 2.0)
MOST_LAYERS = 12
LATEST = 0.8  # of the layers: what is added later acts on the unembedding, hardly on the model
Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Direction:
    """A direction of the residual stream.

    Attributes:
        label: What it tells apart, and `classes` which two: the vector leads from the first's mean to the second's.
        layer: Before which block it was found; the number of blocks: before the unembedding.
        place: At which place of the prompts.
        what: How it was made, in words.
    """

    label: str
    classes: tuple[str, str]
    layer: int
    place: str
    vector: Float[Tensor, " d_model"]
    what: str = "difference of means"


@dataclass(frozen=True, kw_only=True)
class Row(Effect):
    """What one strength does. `strength` None: the direction is taken out, at every layer and token."""

    strength: float | None


@dataclass(frozen=True)
class Steered:
    """What a direction does.

    Attributes:
        site: Where it acts.
        metric: What the rows' `metric` is a mean of, over held-out prompts.
    """

    direction: Direction
    site: str
    metric: str
    rows: tuple[Row, ...]
    n_prompts: int
    n_neutral: int

    def frame(self) -> "pd.DataFrame":
        """One row a strength; `ablated` where the direction is taken out."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "direction": self.direction.what,
                    "strength": "ablated" if row.strength is None else f"{row.strength:g}",
                    **row.cells(self.metric),
                }
                for row in self.rows
            ]
        )


def find_direction(
    train: PromptBatch,
    tuned: Problem,
    *,
    label: str | None = None,
    places: Callable[[PromptBatch], Places] = places_of,
    layers: Sequence[int] | None = None,
    step: Step = lambda done, total: None,
) -> Direction:
    """The difference of two classes' means at the layer and place where adding it makes the metric worst.

    Args:
        train: The prompts that the means are of.
        tuned: Those on which layer and place are chosen; a few are enough. Neither is to be steered afterwards.
        label: A name in `acdc.interpret.labels.LABELS`; of more than two values the first two are taken.
        layers: Which to choose from; about a dozen, evenly spaced, of the first four fifths, if None.

    Raises:
        TaskError: The prompts don't have the label, or only one value of it.
    """
    model = tuned.model
    label = default_label(train, tuned.batch, model.tokenizer) if label is None else label
    known = labelled(train, label, model.tokenizer)
    split = split_of(known, known, seed=SEED)
    early = [layer for layer in rows_of(model, MOST_LAYERS) if layer <= LATEST * model.graph.n_layers]
    layers, here, there = early if layers is None else layers, places(train), places(tuned.batch)
    streams = residuals(model, train, known.sides, here, layers)[:, :, split.train_rows]
    vectors = streams[:, :, split.train == 1].mean(2) - streams[:, :, split.train == 0].mean(2)  # [layer place d_model]
    found, classes = list[tuple[float, Direction]](), (split.classes[0], split.classes[1])
    for i, layer in enumerate(layers):
        for j, name in enumerate(here):
            if name in there:
                each = Direction(label, classes, layer, name, vectors[i, j])
                found.append((float(_values(tuned, _steered(tuned, each, there[name], 1.0)).mean()), each))
            step(i * len(here) + j + 1, len(layers) * len(here))
    sign = performance_metric(tuned).sign
    return min(found, key=lambda pair: sign * pair[0])[1]


def random_like(direction: Direction, seed: int = SEED) -> Direction:
    """A random direction of the same length, at the same place."""
    drawn = torch.randn(direction.vector.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    vector = (drawn * direction.vector.norm().item() / drawn.norm()).to(direction.vector)
    return replace(direction, vector=vector, what="random direction of the same length")


def steer_all(
    directions: Sequence[Direction],
    problem: Problem,
    *,
    strengths: Sequence[float] = STRENGTHS,
    bos: bool | None = None,
    step: Step = lambda done, total: None,
) -> tuple[Steered, ...]:
    """What `steer` finds of each direction; `step` counts over all of them."""
    n = len(strengths) + 1

    def of(i: int) -> Step:
        return lambda done, total: step(i * n + done, len(directions) * n)

    return tuple(steer(each, problem, strengths=strengths, bos=bos, step=of(i)) for i, each in enumerate(directions))


def steer(
    direction: Direction,
    problem: Problem,
    *,
    strengths: Sequence[float] = STRENGTHS,
    places: Callable[[PromptBatch], Places] = places_of,
    bos: bool | None = None,
    step: Step = lambda done, total: None,
) -> Steered:
    """Add a direction to held-out prompts, and to neutral text, with each strength; and take it out.

    Args:
        bos: Whether neutral text starts with a BOS token: as the prompts do.
        step: Told how many strengths are done.

    Raises:
        TaskError: The prompts lack the direction's place or label.
    """
    model, columns = problem.model, places(problem.batch).get(direction.place)
    if columns is None:
        raise TaskError(f"task {problem.batch.task!r} has prompts without the place {direction.place!r}")
    neutral, rows = _Neutral.make(model, bos), list[Row]()
    for strength in (*strengths, None):
        if strength is None:
            final = _without(problem.model, problem.batch, problem.clean, direction)
        else:
            final = _steered(problem, direction, columns, strength)
        with torch.no_grad():
            logits = model.unembed(final[:, -1])
        effect = effect_on(problem, logits, None if neutral is None else neutral.kl(direction, strength))
        rows.append(Row(**vars(effect), strength=strength))
        step(len(rows), len(strengths) + 1)
    (stream,) = stream_names(model, [direction.layer])
    site = f"{stream} at {direction.place}; taken out at every layer and token"
    metric, n_neutral = performance_metric(problem).name, 0 if neutral is None else neutral.batch.n
    return Steered(direction, site, metric, tuple(rows), problem.batch.n, n_neutral)


def _steered(
    problem: Problem, direction: Direction, columns: Int[Tensor, " batch"], strength: float
) -> Float[Tensor, "batch pos d_model"]:
    """The last residual stream of prompts that are pushed away from their own class, at one column each."""
    names = labelled(problem.batch, direction.label, problem.model.tokenizer).names[: problem.batch.n]
    signs = torch.tensor([(name == direction.classes[0]) * 1.0 - (name == direction.classes[1]) for name in names])
    start, each = int(columns.min()), torch.arange(len(columns))
    x = resid_at(problem.clean, direction.layer)[:, start:].clone()
    x[each, columns - start] += strength * signs[:, None].to(x) * direction.vector
    return continued(problem.model, problem.batch, problem.clean, x, layer=direction.layer)


def _without(
    model: PatchableModel, batch: PromptBatch, clean: ActivationCache, direction: Direction
) -> Float[Tensor, "batch pos d_model"]:
    """The last residual stream of a run in which no layer and no token has anything along the direction."""
    unit = direction.vector / direction.vector.norm()
    return continued(model, batch, clean, clean.resid_pre[0], edit=lambda _, x: x - (x @ unit)[..., None] * unit)


@torch.no_grad()
def _values(problem: Problem, final: Float[Tensor, "batch pos d_model"]) -> Float[np.ndarray, " batch"]:
    """The metric of each prompt."""
    metric, batch = performance_metric(problem), problem.batch
    logits = problem.model.unembed(final[:, -1]).double()
    return metric.function(logits, batch.correct, batch.wrong, problem.clean.logits.double()).cpu().numpy()


@dataclass(frozen=True)
class _Neutral:
    """Neutral text, and the model's own run on it."""

    model: PatchableModel
    batch: PromptBatch
    clean: ActivationCache

    @classmethod
    def make(cls, model: PatchableModel, bos: bool | None) -> "_Neutral | None":
        """None where the tokenizer can spell none."""
        batch = neutral_batch(model.tokenizer, bos)
        if batch is None:
            return None
        batch = batch.to(model.device)
        return cls(model, batch, run(model, batch, batch.clean))

    @torch.no_grad()
    def kl(self, direction: Direction, strength: float | None) -> float:
        """The mean KL divergence, over tokens, of the model's own predictions from those with the direction."""
        if strength is None:
            final = _without(self.model, self.batch, self.clean, direction)
        else:
            x = resid_at(self.clean, direction.layer) + strength * direction.vector
            final = continued(self.model, self.batch, self.clean, x, layer=direction.layer)
        return mean_kl(self.model, self.batch, final, self.clean.final)
