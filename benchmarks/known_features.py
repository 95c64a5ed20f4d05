"""Feature circuits where the truth is known: compiled models, and dictionaries made by hand of what their nodes write.

In a compiled model every head and MLP writes one of some values into a block of dimensions. A feature is "this block
holds this value"; nothing of what is needed is left over. A node is a feature at a span of the task's prompts. True
nodes are the values that a block holds in the clean run at a span where something reads it that the answer needs;
others are all that are changed by ablation in blocks that nobody needs. What is of neither kind isn't counted: a needed
block elsewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from acdc import PatchableModel
from acdc.benchmarking.known import known_circuits
from acdc.circuits.recovery import auc_of_ranks
from acdc.discovery import METHODS, default_metric
from acdc.discovery.attribution.quadrature import Quadrature
from acdc.features.activations import ReLU
from acdc.features.circuits.effects import node_effects
from acdc.features.circuits.masks import Kept, summed
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureAblation, FeatureRuns
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site
from acdc.patching.problem import Problem
from acdc.prompts.positions import split_by
from acdc.task import load_task

__all__ = ["READ_AT", "Ranking", "rows"]

Spans = Mapping[str, tuple[str, ...]]
READ_AT: dict[str, Spans] = {  # what the answer needs of each node, as the scripts say that compiled the models
    "induction-compiled": {"a0.h2": ("B",), "a1.h1": ("end",)},
    "chain-compiled": {"a0.h2": ("to1", "to2", "to3", "to4")}
    | dict.fromkeys(("a1.h0", "a2.h3", "a3.h1", "a4.h2"), ("end",)),
    "reverse-compiled": dict.fromkeys(("a0.h2", "m0", "a1.h1"), ("end",)),
}
WAYS: tuple[tuple[Quadrature, int], ...] = (("right", 1), ("right", 10), ("midpoint", 10))
HELD = 0.5  # of a feature that is 1 where its value is there
LEAST = 1e-3  # less is what sharp attention leaves over


@dataclass(frozen=True)
class Ranking:
    """How nodes of known meaning rank, by size.

    Attributes:
        n_true, n_other: How many nodes.
        auc: By name of a ranking: the share of pairs in which the true node ranks above the other one. The rankings:
            how much a feature changes (no gradients), effects by quadrature and steps, and exact effects, which one
            forward pass each gives, the node alone being ablated.
        rho: Spearman's, with the exact effects.
    """

    model: str
    ablation: str
    n_true: int
    n_other: int
    auc: dict[str, float | None]
    rho: dict[str, float]

    NAMES = ("change", *(f"{name}, {n}" for name, n in WAYS), "exact")
    HEAD = f"| model | ablation | true, other | {' | '.join(NAMES)} |\n|---|---|---|{'---|' * len(NAMES)}"

    def __str__(self) -> str:
        cells = [self.model, self.ablation, f"{self.n_true}, {self.n_other}"]
        return f"| {' | '.join([*cells, *map(self._cell, self.NAMES)])} |"

    def _cell(self, name: str) -> str:
        auc = self.auc[name]
        return ("none" if auc is None else f"{auc:.3f}") + ("" if name == "exact" else f" ({self.rho[name]:.2f})")


@dataclass(frozen=True)
class ByHand:
    """A dictionary of what some nodes write at a site.

    Attributes:
        at: Spans at which each feature's block is read for the answer; none: it is read by nobody.
    """

    dictionary: Dictionary
    at: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, site: Site, writers: Mapping[str, Float[Tensor, "k d_model"]], read_at: Spans) -> "ByHand":
        """A feature for each dimension that some node writes. A value's code is a one-hot vector minus its mean, and
        where several nodes write into one block it holds their codes' sum."""
        written = {name: weight.abs().sum(0) > 0 for name, weight in writers.items()}
        masks = torch.stack([*written.values()])
        dims = masks.any(0).nonzero()[:, 0]
        means = (masks.double() / masks.sum(1, keepdim=True).clamp_min(1)).sum(0)[dims]
        rows = torch.eye(masks.shape[1], dtype=torch.float64)[dims]
        b_dec = -(means @ rows)[None]
        at = [frozenset(span for name in written if written[name][d] for span in read_at.get(name, ())) for d in dims]
        return cls(Dictionary("by hand", site, (site,), rows, means, rows[:, None], b_dec, ReLU()), tuple(at))


def rows(n: int, models: tuple[str, ...] = tuple(READ_AT)) -> Iterator[Ranking]:
    """A row for each model and ablation.

    Args:
        n: Prompts.
    """
    for known in known_circuits(list(models)):
        model = PatchableModel.from_pretrained(known.model, dtype="float64")
        task = load_task(known.task, **known.task_options)
        batch, metric = task.batch(model.tokenizer, n, 0), default_metric(task, METHODS["eap"])
        problem = Problem.make(model, split_by(batch, "spans"), metric=metric)
        made = dictionaries_of(model, READ_AT[known.model])
        for ablation in get_args(FeatureAblation):
            runs = FeatureRuns(problem, Placed.on(model, [each.dictionary for each in made]), ablation)
            yield ranking(known.model, runs, made)


def dictionaries_of(model: PatchableModel, read_at: Spans) -> list[ByHand]:
    """One for each layer's attention and MLP that write anything."""
    found = []
    for layer, block in enumerate(model.components.blocks):
        heads = {f"a{layer}.h{h}": weight for h, weight in enumerate(block.attention.W_O)}
        mlp = {f"m{layer}": model.hf.get_submodule(f"transformer.h.{layer}.mlp.c_proj").weight.detach()}
        for kind, writers in (("attn_out", heads), ("mlp_out", mlp)):
            if any(bool(weight.any()) for weight in writers.values()):
                found.append(ByHand.of(Site(layer, kind), writers, read_at))
    return found


def ranking(name: str, runs: FeatureRuns, made: list[ByHand]) -> Ranking:
    """All rankings of one model's nodes."""
    held, change = sums(runs)
    spans = runs.problem.batch.spans
    needed = [torch.tensor([[span in at for at in each.at] for span in spans]) for each in made]
    idle = [torch.tensor([not at for at in each.at]) for each in made]
    true = [here & (n > 0) & (moved > LEAST) for here, n, moved in zip(needed, held, change, strict=True)]
    counted = [here | (nobodys & (moved > LEAST)) for here, nobodys, moved in zip(true, idle, change, strict=True)]
    values = {"change": change}
    for quadrature, steps in WAYS:
        effects = node_effects(runs, steps=steps, quadrature=quadrature)
        values[f"{quadrature}, {steps}"] = list(effects.features)
    values["exact"] = alone(runs, counted)
    positive = picked(true, counted).numpy()
    ranks = {key: ranked(picked(each, counted)) for key, each in values.items()}
    return Ranking(
        model=name,
        ablation=runs.ablation,
        n_true=int(positive.sum()),
        n_other=int((~positive).sum()),
        auc={key: auc_of_ranks(of, positive) for key, of in ranks.items()},
        rho={key: float(spearmanr(of, ranks["exact"]).statistic) for key, of in ranks.items()},
    )


def picked(values: list[Tensor], counted: list[Bool[Tensor, "span n"]]) -> Tensor:
    """What is counted, site after site."""
    return torch.cat([each[here] for each, here in zip(values, counted, strict=True)])


def ranked(values: Float[Tensor, " n"]) -> Float64[np.ndarray, " n"]:
    """Ranks by size; sizes that only rounding tells apart are tied."""
    return np.asarray(rankdata(values.abs().numpy().round(9)), dtype=np.float64)


@torch.no_grad()
def sums(runs: FeatureRuns) -> tuple[list[Float64[Tensor, "span n"]], list[Float64[Tensor, "span n"]]]:
    """By site, for each span: at how many tokens the clean run holds a value, and how much a feature changes in all
    when it is ablated."""
    (piece,) = runs.pieces
    clean = [each.features for each in runs.clean(piece)]
    moved = [(ablated - own).abs() for own, (ablated, _) in zip(clean, runs.ablated(piece), strict=True)]
    held = [(each > HELD).double() for each in clean]
    return [summed(each, piece.batch) for each in held], [summed(each, piece.batch) for each in moved]


def alone(runs: FeatureRuns, counted: list[Bool[Tensor, "span n"]]) -> list[Float64[Tensor, "span n"]]:
    """By site, what the loss rises by when a node alone is ablated: one forward pass each."""
    whole, spans = runs.loss(Kept.all(runs.placed, runs.problem.batch.spans, True)), runs.problem.batch.spans
    found = [torch.zeros(each.shape, dtype=torch.float64) for each in counted]
    for site, here, effects in zip(runs.placed.sites, counted, found, strict=True):
        for span, i in here.nonzero().tolist():
            node = NodeName(site, i, spans[span])
            effects[span, i] = runs.loss(~Kept.of(runs.placed, spans, [node])) - whole
    return found
