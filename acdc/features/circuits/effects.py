"""How much each node matters: integrated gradients from what it has in the clean run to its ablated value.

    effect(a) = Σ_prompts,pos (a_ablated - a_clean) Σ_j w_j ∂loss/∂a at x + t_j (x_ablated - x)

The gradients are taken at one site at a time: what is written there goes straight from its clean to its ablated value,
and all behind it is the model's own run. So the effects of a site's features and its error add up to what the loss
rises by when the whole site is ablated, exactly but for the sum over j. A positive effect: without the node the loss is
higher. The effect of one node alone is that of the straight line only where the loss is linear: attention, norms and
MLPs between the site and the logits make the difference.

`midpoint` takes t in the middle of equal steps, and `right` 0, 1/m, …, (m-1)/m as Marks et al.'s code; one step of
`right` is attribution patching.

Reference: Marks et al. 2024 (arXiv 2403.19647), equations 3 and 4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.features.circuits.masks import summed
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.runs import FeatureRuns, Piece, SiteValues
from acdc.features.circuits.steps import Step, afresh
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, through_sites
from acdc.patching.frozen import frozen

__all__ = ["Effects", "at_features", "loss_of", "node_effects"]


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of all nodes.

    Attributes:
        features: By site, `[n_spans n_features]`.
        errors: By site, `[n_spans]`.
        gradients: By site, for each piece of the prompts, the mean gradient of the loss there, `[batch pos d]`.
        passes: Of the gradients: forward and backward passes of all prompts.
    """

    sites: tuple[Site, ...]
    spans: tuple[str, ...]
    features: tuple[Float64[Tensor, "n_spans _"], ...]
    errors: tuple[Float64[Tensor, " n_spans"], ...]
    gradients: tuple[tuple[Tensor, ...], ...]
    passes: int

    @property
    def error_share(self) -> float:
        """The errors' part of the summed sizes of all effects: near 1 where dictionaries say little of the task."""
        errors, features = (float(sum(x.abs().sum() for x in of)) for of in (self.errors, self.features))
        return errors / (errors + features) if errors else 0.0

    def ranked(self, *, errors: bool = True) -> list[tuple[NodeName, float]]:
        """Nodes with an effect that isn't 0, the largest in size first.

        Args:
            errors: Whether errors are nodes that can be chosen.
        """
        found = list[tuple[NodeName, float]]()
        for site, features, error in zip(self.sites, self.features, self.errors, strict=True):
            for row, span in enumerate(self.spans or ("",)):
                values = features[row].cpu()
                found += [(NodeName(site, i, span), float(values[i])) for i in values.nonzero()[:, 0].tolist()]
                if errors and float(error[row]):
                    found.append((NodeName(site, None, span), float(error[row])))
        return sorted(found, key=lambda pair: -abs(pair[1]))  # ties keep the order of sites


def node_effects(
    runs: FeatureRuns,
    *,
    steps: int,
    quadrature: Quadrature = "midpoint",
    step: Step = afresh,
    note: Callable[[], None] = lambda: None,
) -> Effects:
    """The effects of all features and errors.

    Args:
        steps: How many gradients a site takes.
        step: Called with each site of each piece of the prompts.
        note: Called behind them.
    """
    points, placed, spans = quadrature_points(quadrature, steps), runs.placed, runs.problem.batch.spans
    device = runs.problem.model.device
    features, errors = ([torch.zeros((), device=device) for _ in placed.sites] for _ in range(2))
    gradients = [list[Tensor]() for _ in placed.sites]
    for p, piece in enumerate(runs.pieces):
        values = cache(partial(_values, runs, piece))
        for i in range(len(placed.sites)):
            found = step(f"effects-{i}-{p}", partial(_at_site, runs, piece, i, values, points))
            features[i] = features[i] + found["features"].to(device)
            errors[i] = errors[i] + found["errors"].to(device)
            gradients[i].append(found["gradient"].to(device))
            note()
    return Effects(
        placed.sites, spans, tuple(features), tuple(errors), tuple(map(tuple, gradients)), steps * len(placed.sites)
    )


Values = tuple[list[SiteValues], list[tuple[Tensor, Tensor]]]


def _values(runs: FeatureRuns, piece: Piece) -> Values:
    """The clean and the ablated ones."""
    return runs.clean(piece), runs.ablated(piece)


def _at_site(
    runs: FeatureRuns, piece: Piece, i: int, values: Callable[[], Values], points: list[tuple[float, float]]
) -> dict[str, Tensor]:
    """The effects of a site's features and error, and the mean gradient there."""
    each, clean, ablated = runs.placed.dictionaries[i], values()[0][i], values()[1][i]
    to_features, to_error = ablated[0] - clean.features, ablated[1] - clean.error
    way = each.decode(ablated[0], clean.read) - each.decode(clean.features, clean.read) + to_error
    gradient = _mean_gradient(runs, piece, runs.placed.sites[i], clean, way, points)
    found = (at_features(each, gradient, clean.read) @ each.decoder[:][:, 0].T) * to_features
    return {
        "features": summed(found, piece.batch),
        "errors": summed((gradient * to_error).sum(-1), piece.batch),
        "gradient": gradient,
    }


def _mean_gradient(
    runs: FeatureRuns, piece: Piece, site: Site, clean: SiteValues, way: Tensor, points: list[tuple[float, float]]
) -> Float[Tensor, "batch pos d"]:
    """The mean gradient of the loss in what is written at a site, on the way to its ablated value."""
    total, model = torch.zeros_like(way), runs.problem.model
    with frozen(model), torch.enable_grad():
        for share, weight in points:
            x = (clean.written + share * way).requires_grad_()
            final = through_sites(
                model,
                piece.batch,
                piece.batch.clean,
                lambda at, value, x=x: x if at == site else value,  # type: ignore[misc]
                embeddings=piece.resid_pre[site.layer],
                start=site.layer,
            )
            (gradient,) = torch.autograd.grad(loss_of(runs, piece, final), x)
            total += weight * gradient
    return total


def loss_of(runs: FeatureRuns, piece: Piece, final: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, ""]:
    """The loss of a piece of the prompts, as part of the mean over all."""
    return piece.objective.loss(runs.problem.model.unembed(final[:, -1], piece.objective.tokens)).sum() * piece.share


def at_features(
    dictionary: Dictionary, gradient: Float[Tensor, "*k batch pos d"], read: Float[Tensor, "batch pos d_in"]
) -> Float[Tensor, "*k batch pos d"]:
    """A gradient in what a dictionary writes, as one in the sum of its decoder's rows: the same, unless it normalises
    each token."""
    if dictionary.normalization is None:
        return gradient
    with torch.enable_grad():
        rows = torch.zeros_like(gradient).requires_grad_()
        (found,) = torch.autograd.grad(dictionary.normalization.undone(rows, read.detach()), rows, gradient)
    return found
