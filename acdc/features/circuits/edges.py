"""Edges between nodes: what one does to another without any third one of another site between them.

    weight(u -> d) = Σ_prompts,pos  ∂loss/∂d · ∂d/∂u · (u_ablated - u_clean)

∂loss/∂d is the mean gradient that gave d its effect. In ∂d/∂u every dictionary's site between the two stands still, its
features and its error: what u does by way of those is in their own edges. What no dictionary stands at (attention
without one, norms, a transcoder's skip connection) lets the effect through. All derivatives of nodes are those of the
clean run.

The edge from u to the logits is what the loss gains when all sites go from clean to ablated at once, by integrated
gradients: those of all nodes together are what the loss rises by without any.

One backward pass for each node that an edge enters.

Reference: Marks et al. 2024 (arXiv 2403.19647), section 3.1 and appendix A.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.features.circuits.effects import Effects, at_features, loss_of
from acdc.features.circuits.masks import checked_node, summed, token_groups
from acdc.features.circuits.nodes import FeatureEdge, NodeName
from acdc.features.circuits.runs import FeatureRuns, Piece, SiteValues, values_at
from acdc.patching.frozen import frozen

__all__ = ["LOGITS", "feature_edges"]

LOGITS = "logits"


def feature_edges(
    runs: FeatureRuns,
    effects: Effects,
    nodes: Sequence[NodeName],
    *,
    steps: int,
    quadrature: Quadrature = "midpoint",
    note: Callable[[], None] = lambda: None,
) -> list[FeatureEdge]:
    """The edges between nodes, and from each to the logits, those of weight 0 left out.

    Args:
        effects: The nodes'.
        steps, quadrature: Of the gradients of the edges to the logits.
        note: Called behind each backward pass.
    """
    weights = torch.zeros(len(nodes), len(nodes) + 1, dtype=torch.float64)
    for p, piece in enumerate(runs.pieces):
        each = _Piece(runs, piece, nodes, [of_site[p] for of_site in effects.gradients])
        weights += each.weights(quadrature_points(quadrature, steps), note)
    names = [*map(str, nodes), LOGITS]
    rows = weights.nonzero().tolist()
    return [FeatureEdge(names[u], names[d], float(weights[u, d])) for u, d in rows]


class _Piece:
    """The edges on some of the prompts."""

    def __init__(self, runs: FeatureRuns, piece: Piece, nodes: Sequence[NodeName], gradients: Sequence[Tensor]) -> None:
        self.runs, self.piece, self.nodes, self.gradients = runs, piece, nodes, gradients
        self.at = [checked_node(runs.placed, runs.problem.batch.spans, node) for node in nodes]
        self.clean, self.ablated = runs.clean(piece), runs.ablated(piece)
        self.groups = token_groups(piece.batch)

    def weights(self, points: list[tuple[float, float]], note: Callable[[], None]) -> Float64[Tensor, "nodes nodes_1"]:
        """`[u, d]`; the last column is of the logits."""
        found = torch.zeros(len(self.nodes), len(self.nodes) + 1, dtype=torch.float64)
        with frozen(self.runs.problem.model), torch.enable_grad():
            for share, weight in points:
                leaves, _, final = self._run(share)
                self._add(found[:, -1], leaves, loss_of(self.runs, self.piece, final), weight)
                note()
            leaves, seen, _ = self._run(0.0)
            for d, (i, _) in enumerate(self.at):
                if i:
                    self._add(found[:, d], leaves[:i], self._followed(d, seen[i]))
                note()
        return found

    def _run(self, share: float) -> tuple[list[Tensor], list[SiteValues], Tensor]:
        """A run in which what each dictionary writes is a leaf, so that no gradient passes its site; some way towards
        the ablated values. The leaves, what is there in front of them, and the last residual stream."""
        leaves, seen = list[Tensor](), list[SiteValues]()

        def put(i: int, read: Tensor, written: Tensor) -> Tensor:
            each = self.runs.placed.dictionaries[i]
            seen.append(values_at(each, read, written))
            leaves.append((self.clean[i].written + share * self._way(i)).requires_grad_())
            if each.skip is None:
                return leaves[i]
            nothing = torch.zeros_like(seen[i].features)  # a skip connection goes on, for it is no node
            return leaves[i] + each.decode(nothing, read) - each.decode(nothing, self.clean[i].read)

        final = self.runs.run_clean(self.piece, put)
        return leaves, seen, final

    def _way(self, i: int) -> Float[Tensor, "batch pos d"]:
        """From a site's clean value to its ablated one."""
        each, clean = self.runs.placed.dictionaries[i], self.clean[i]
        features, error = self.ablated[i]
        return each.decode(features, clean.read) - each.decode(clean.features, clean.read) + error - clean.error

    def _followed(self, d: int, seen: SiteValues) -> Float[Tensor, ""]:
        """What is to be derived for the edges into a node: its values, each times the loss's gradient in it."""
        i, node = self.at[d][0], self.nodes[d]
        each, gradient, here = self.runs.placed.dictionaries[i], self.gradients[i], self._tokens(node)
        if node.index is None:  # a normalisation that moves is the error's: features and error then move the whole site
            read = seen.read.detach() if each.skip is None else seen.read
            return ((gradient * (seen.written - each.decode(seen.features, read))).sum(-1) * here).sum()
        (direction,) = each.directions(torch.tensor([node.index]))
        into = at_features(each, gradient, self.clean[i].read) @ direction
        return (into * seen.features[..., node.index] * here).sum()

    def _tokens(self, node: NodeName) -> Float[Tensor, "batch pos"]:
        real = self.piece.batch.attention
        spans = self.runs.problem.batch.spans
        here = real & (self.groups == spans.index(node.span)) if node.span else real
        return here.to(self.runs.problem.model.dtype)

    def _add(self, column: Float64[Tensor, " nodes"], leaves: list[Tensor], value: Tensor, weight: float = 1.0) -> None:
        """What each node upstream does to a value, added to a column."""
        found = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
        for i, gradient in enumerate(found):
            here = [u for u, (j, _) in enumerate(self.at) if j == i]
            if gradient is None or not here:
                continue
            features = self._features(i, gradient, [self.nodes[u].index for u in here])
            for u, values in zip(here, features.unbind(1), strict=True):
                row = self.at[u][1]
                column[u] += weight * float(values[row].sum())

    def _features(self, i: int, gradient: Tensor, indices: list[int | None]) -> Float64[Tensor, "n_spans k"]:
        """Sums over each span's tokens of gradients times what some of a site's nodes change by."""
        each, clean = self.runs.placed.dictionaries[i], self.clean[i]
        features, error = self.ablated[i]
        index = torch.tensor([0 if x is None else x for x in indices], device=gradient.device)
        rows = each.directions(index)
        with torch.no_grad():
            found = (at_features(each, gradient, clean.read) @ rows.T) * (features - clean.features)[..., index]
            of_error = (gradient * (error - clean.error)).sum(-1)
            found = torch.stack([of_error if x is None else found[..., k] for k, x in enumerate(indices)], -1)
            return summed(found, self.piece.batch)
