"""Taking features out of a model: what happens to the task, and to text that has nothing to do with it.

As in SHIFT (Marks et al. 2024, section 4), features that a person holds to be beside the point are set to zero wherever
they fire, errors and all other features staying as they are in the run. Beside it, as a control: as many other
features of the same sites, that fire about as often on the prompts.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import RunError, counted
from acdc.evaluation.numbers import number
from acdc.evaluation.values import performance_metric
from acdc.features.circuits.masks import Kept, checked_node, token_groups
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureRuns
from acdc.features.dictionary import Dictionary
from acdc.features.sites import through_sites
from acdc.interpret.effects import Effect, effect_on
from acdc.interpret.neutral import mean_kl, neutral_batch
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Shift", "ShiftRow", "checked_features", "shift"]


@dataclass(frozen=True, kw_only=True)
class ShiftRow(Effect):
    """What one of the models does: `model`, `without the features`, or `without others` (the control)."""

    who: str


@dataclass(frozen=True)
class Shift:
    """What taking features out does.

    Attributes:
        features: Their names.
        others: The control's.
        metric: What the rows' `metric` is.
        n_firing: On how many of the prompts one of the features fires.
    """

    features: tuple[str, ...]
    others: tuple[str, ...]
    metric: str
    rows: tuple[ShiftRow, ...]
    n_prompts: int
    n_neutral: int
    n_firing: int

    def frame(self) -> "pd.DataFrame":
        """One row a model: `who`, the metric, `low`, `high`, `change`, `accuracy`, `neutral_kl`."""
        import pandas as pd

        return pd.DataFrame([{"who": row.who} | row.cells(self.metric) for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return asdict(self)

    def summary(self) -> str:
        """What the features do, and what as many others do."""
        on = f"on {counted(self.n_prompts, 'prompt')}, on {self.n_firing:,} of which one fires"
        lines = [f"{counted(len(self.features), 'feature')} set to zero, {on}:"]
        for row in self.rows:
            change = "" if row.who == "model" else f" ({row.change.signed()})"
            moved = None if row.who == "model" else row.neutral_kl
            neutral = "" if moved is None else f"; neutral text moves by {number(moved)} nats a token"
            lines.append(f"{row.who}: {self.metric} {number(row.metric.value)}{change}{neutral}")
        if not self.n_neutral:
            lines.append("neutral text was not run: the model's tokenizer can't spell it")
        return "\n".join(lines)


def shift(
    problem: Problem,
    dictionaries: Sequence[Dictionary],
    features: Sequence[str | NodeName],
    *,
    bos: bool | None = None,
    memory: int | None = None,
) -> Shift:
    """Set features to zero, on a problem's prompts and on neutral text.

    Args:
        features: Names like `mlp_out.5/123`; `mlp_out.5/123@S2` at one span alone, which neutral text doesn't have, so
            that there it is taken out at every token.
        bos: Whether neutral text starts with a BOS token: as the prompts do.

    Raises:
        CircuitError: There is no such feature.
        RunError: None is named, or an error is.
        ModelError: A dictionary isn't of this model.
    """
    placed, spans = Placed.on(problem.model, dictionaries), problem.batch.spans
    names = checked_features(placed, spans, features)
    runs = FeatureRuns(problem, placed, "zero", "kept", memory)
    taken, others = Kept.of(placed, spans, names), _others(runs, names)
    neutral = neutral_batch(problem.model.tokenizer, bos)
    text = None if neutral is None else _Neutral(problem.model, neutral.to(problem.model.device), placed)
    measured = {"model": (Kept.all(placed, spans, False), []), "without the features": (taken, names)}
    if others:
        measured["without others"] = (Kept.of(placed, spans, others), others)
    own, rows, metric = runs.logits(~measured["model"][0]), list[ShiftRow](), performance_metric(problem).name
    for who, (without, gone) in measured.items():
        effect = effect_on(problem, runs.logits(~without), None if text is None else text.kl(gone), own=own)
        rows.append(ShiftRow(**vars(effect), who=who))
    n_neutral = 0 if neutral is None else neutral.n
    return Shift(
        tuple(map(str, names)),
        tuple(map(str, others)),
        metric,
        tuple(rows),
        problem.batch.n_pairs,
        n_neutral,
        _n_firing(runs, taken),
    )


def checked_features(placed: Placed, spans: tuple[str, ...], features: Sequence[str | NodeName]) -> list[NodeName]:
    """Features that can be taken out, by name.

    Raises:
        CircuitError: There is no such feature.
        RunError: None is named, or an error is.
    """
    names = [NodeName.parse(each) if isinstance(each, str) else each for each in features]
    if not names:
        raise RunError("no feature is named: name those that are to be taken out, like mlp_out.5/123")
    for name in names:
        if name.index is None:
            raise RunError(f"{name} is an error, not a feature: what a dictionary can't say is not taken out")
        checked_node(placed, spans, name)
    return names


def _n_firing(runs: FeatureRuns, taken: Kept) -> int:
    """On how many prompts one of the features fires where it is taken out."""
    found = 0
    for piece in runs.pieces:
        groups, real = token_groups(piece.batch), piece.batch.attention
        fires = torch.zeros_like(real)
        for each, mask in zip(runs.clean(piece), taken.features, strict=True):
            fires |= ((each.features > 0) & mask[groups]).any(-1)
        found += int((fires & real).any(1).sum())
    return found


def _others(runs: FeatureRuns, names: Sequence[NodeName]) -> list[NodeName]:
    """For each feature another one of its site, at its span, that fires on as many tokens of the prompts, or nearly;
    fewer, where no more fire."""
    fires = [torch.zeros(each.n_features, dtype=torch.long) for each in runs.placed.dictionaries]
    for piece in runs.pieces:
        for i, each in enumerate(runs.clean(piece)):
            fires[i] += (each.features[piece.batch.attention] > 0).sum(0).cpu()
    found, taken = list[NodeName](), {(name.site, name.index) for name in names}
    rng = random.Random(f"others {runs.problem.seed}")
    for name in names:
        counts: list[int] = fires[runs.placed.sites.index(name.site)].tolist()
        left = [(i, n) for i, n in enumerate(counts) if n and (name.site, i) not in taken]
        if left and name.index is not None:
            nearest = partial(_how_far, counts[name.index], rng)
            found.append(NodeName(name.site, min(left, key=nearest)[0], name.span))
            taken.add((name.site, found[-1].index))
    return found


def _how_far(n: int, rng: random.Random, other: tuple[int, int]) -> tuple[int, float]:
    return abs(other[1] - n), rng.random()


class _Neutral:
    """Neutral text, and the model's own run on it."""

    def __init__(self, model: PatchableModel, batch: PromptBatch, placed: Placed) -> None:
        self.model, self.batch, self.placed = model, batch, placed
        self.own = run(model, batch, batch.clean).final

    @torch.no_grad()
    def kl(self, names: Sequence[NodeName]) -> float:
        """The mean KL divergence, over tokens, of the model's own predictions from those without some features."""
        final = through_sites(self.model, self.batch, self.batch.clean, self.placed.visit(self._without(names)))
        return mean_kl(self.model, self.batch, final, self.own)

    def _without(self, names: Sequence[NodeName]) -> Callable[[int, Tensor, Tensor], Float[Tensor, "batch pos d"]]:
        gone = Kept.of(self.placed, (), (NodeName(name.site, name.index) for name in names)).features

        def put(i: int, read: Tensor, written: Tensor) -> Tensor:
            each = self.placed.dictionaries[i]
            features = each.encode(read)
            left = features.masked_fill(gone[i][0], 0.0)
            return written + each.decode(left, read) - each.decode(features, read)

        return put
