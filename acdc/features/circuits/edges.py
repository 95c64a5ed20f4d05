"""Edges between nodes: what one does to another without any third one of another site between them.

    weight(u -> d) = Σ_prompts,pos  ∂loss/∂d · ∂d/∂u · (u_ablated - u_clean)

∂loss/∂d is the mean gradient that gave d its effect. In ∂d/∂u every dictionary's site between the two stands still, its
features and its error: what u does by way of those is in their own edges. What no dictionary stands at (attention
without one, norms, a transcoder's skip connection) lets the effect through. All derivatives of nodes are those of the
clean run.

The edge from u to the logits is what the loss gains when all sites go from clean to ablated at once, by integrated
gradients: those of all nodes together are what the loss rises by without any. Where one site alone has a dictionary
that is what gave its nodes their effects, and isn't made again.

One backward pass for each node that an edge can enter; nodes of one site are passed back together, as many as fit into
memory.

Reference: Marks et al. 2024 (arXiv 2403.19647), section 3.1 and appendix A.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.features.circuits.effects import Effects, at_features, loss_of
from acdc.features.circuits.masks import checked_node, summed, token_groups
from acdc.features.circuits.nodes import FeatureEdge, NodeName
from acdc.features.circuits.runs import FeatureRuns, Piece, SiteValues, values_at
from acdc.features.circuits.steps import Step, afresh
from acdc.features.sites import Site
from acdc.patching.frozen import frozen

__all__ = ["LOGITS", "feature_edges", "n_passes"]

LOGITS = "logits"
AT_ONCE, ELSEWHERE = 8, 64  # nodes, on a CPU, where more gain nothing, and on other devices


def n_passes(nodes: Sequence[NodeName], sites: Sequence[Site], steps: int) -> int:
    """How many backward passes of all prompts the edges between nodes take."""
    if not nodes:
        return 0
    first = min(sites.index(node.site) for node in nodes)
    entered = sum(sites.index(node.site) > first for node in nodes)
    return entered + (steps if len(sites) > 1 else 0)


def feature_edges(
    runs: FeatureRuns,
    effects: Effects,
    nodes: Sequence[NodeName],
    *,
    steps: int,
    quadrature: Quadrature = "midpoint",
    at_once: int | None = None,
    step: Step = afresh,
    note: Callable[[int], None] = lambda _: None,
) -> list[FeatureEdge]:
    """The edges between nodes, and from each to the logits, those of weight 0 left out.

    Args:
        effects: The nodes'.
        steps, quadrature: Of the gradients of the edges to the logits; those of the effects.
        at_once: How many nodes of a site are passed back together; as many as fit into memory if None.
        step: Called with the edges to the logits, and into those nodes, of each piece of the prompts.
        note: Called with the number of backward passes that were made.
    """
    weights = torch.zeros(len(nodes), len(nodes) + 1, dtype=torch.float64)
    for p, piece in enumerate(runs.pieces):
        each = _Piece(runs, piece, nodes, [of_site[p] for of_site in effects.gradients])
        points = quadrature_points(quadrature, steps)
        found = step(f"edges-logits-{p}", partial(each.to_logits, points))
        weights[:, -1:] += found["weights"]
        if len(runs.placed.sites) > 1:
            note(steps)
        for some in each.entered(at_once or fitting(runs, piece)):
            found = step(f"edges-{some[0]}-{p}", partial(each.into, some))
            weights[:, some] += found["weights"]
            note(len(some))
    names = [*map(str, nodes), LOGITS]
    rows = weights.nonzero().tolist()
    return [FeatureEdge(names[u], names[d], float(weights[u, d])) for u, d in rows]


def fitting(runs: FeatureRuns, piece: Piece) -> int:
    """How many backward passes of a piece fit into memory at once."""
    most = AT_ONCE if piece.batch.clean.device.type == "cpu" else ELSEWHERE
    return max(1, min(most, runs.room // (piece.batch.n * runs.bytes_of_layer)))


class _Piece:
    """The edges on some of the prompts."""

    def __init__(self, runs: FeatureRuns, piece: Piece, nodes: Sequence[NodeName], gradients: Sequence[Tensor]) -> None:
        self.runs, self.piece, self.nodes, self.gradients = runs, piece, nodes, gradients
        at = [checked_node(runs.placed, runs.problem.batch.spans, node) for node in nodes]
        self.dictionary_of, self.rows = [i for i, _ in at], [row for _, row in at]
        self.of_site = {i: [u for u, (j, _) in enumerate(at) if j == i] for i in sorted({i for i, _ in at})}
        self.groups = token_groups(piece.batch)

    @cached_property
    def clean(self) -> list[SiteValues]:
        return self.runs.clean(self.piece)

    @cached_property
    def ablated(self) -> list[tuple[Tensor, Tensor]]:
        return self.runs.ablated(self.piece)

    def to_logits(self, points: list[tuple[float, float]]) -> dict[str, Tensor]:
        """What each node does to the logits: `weights`, `[node 1]`."""
        if len(self.runs.placed.sites) == 1:
            return {"weights": self._change(0, self.gradients[0][None])}
        found = torch.zeros(len(self.nodes), 1, dtype=torch.float64)
        with frozen(self.runs.problem.model), torch.enable_grad():
            for share, weight in points:
                leaves, _, final = self._run(share)
                loss = loss_of(self.runs, self.piece, final)
                found += weight * self._upstream(loss[None], leaves)
        return {"weights": found}

    def entered(self, at_once: int) -> Iterator[list[int]]:
        """The nodes that edges can enter, by site, at most so many at once."""
        for nodes in list(self.of_site.values())[1:]:
            yield from (nodes[i : i + at_once] for i in range(0, len(nodes), at_once))

    def into(self, some: list[int]) -> dict[str, Tensor]:
        """What each node does to some nodes of a site: `weights`, `[node k]`."""
        i, (leaves, seen, _) = self.dictionary_of[some[0]], self._clean_run
        with frozen(self.runs.problem.model), torch.enable_grad():
            return {"weights": self._upstream(self._followed(i, some, seen[i]), leaves[:i])}

    @cached_property
    def _clean_run(self) -> tuple[list[Tensor], list[SiteValues], Tensor]:
        with frozen(self.runs.problem.model), torch.enable_grad():
            return self._run(0.0)

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

    def _followed(self, i: int, some: Sequence[int], seen: SiteValues) -> Float[Tensor, " k"]:
        """What is to be derived for the edges into nodes of a site: their values, each times the loss's gradient in
        it."""
        each, gradient, nodes = self.runs.placed.dictionaries[i], self.gradients[i], [self.nodes[d] for d in some]
        index = self._indices(nodes, gradient)
        into = at_features(each, gradient, self.clean[i].read) @ each.directions(index).T
        values = into * seen.features[..., index]
        if any(errors := [node.index is None for node in nodes]):
            # a normalisation that moves is the error's: features and error then move the whole site
            read = seen.read.detach() if each.skip is None else seen.read
            of_error = (gradient * (seen.written - each.decode(seen.features, read))).sum(-1, keepdim=True)
            values = torch.where(torch.tensor(errors, device=values.device), of_error, values)
        return (values * torch.stack([self._tokens(node) for node in nodes], -1)).sum((0, 1))

    def _tokens(self, node: NodeName) -> Float[Tensor, "batch pos"]:
        real = self.piece.batch.attention
        spans = self.runs.problem.batch.spans
        here = real & (self.groups == spans.index(node.span)) if node.span else real
        return here.to(self.runs.problem.model.dtype)

    def _upstream(self, values: Float[Tensor, " k"], leaves: list[Tensor]) -> Float64[Tensor, "nodes k"]:
        """What each node does to some values, by the sites whose leaves these are; 0 of nodes of other sites."""
        found = torch.zeros(len(self.nodes), len(values), dtype=torch.float64)
        sites = [i for i in self.of_site if i < len(leaves)]
        each_alone = torch.eye(len(values), dtype=values.dtype, device=values.device)
        gradients = torch.autograd.grad(
            values,
            [leaves[i] for i in sites],
            each_alone,
            is_grads_batched=True,
            retain_graph=True,
            allow_unused=True,
        )
        for i, gradient in zip(sites, gradients, strict=True):
            if gradient is not None:
                found[self.of_site[i]] = self._change(i, gradient)
        return found

    @torch.no_grad()
    def _change(self, i: int, gradients: Float[Tensor, "k batch pos d"]) -> Float64[Tensor, "n k"]:
        """What a site's nodes change by, each times gradients there, summed over the tokens that it is of."""
        each, clean, own = self.runs.placed.dictionaries[i], self.clean[i], self.of_site[i]
        features, error = self.ablated[i]
        nodes = [self.nodes[u] for u in own]
        index = self._indices(nodes, gradients)
        found = at_features(each, gradients, clean.read) @ each.directions(index).T
        found = found * (features - clean.features)[..., index]
        for k in (k for k, node in enumerate(nodes) if node.index is None):
            found[..., k] = (gradients * (error - clean.error)).sum(-1)
        sums = summed(found.permute(1, 2, 0, 3), self.piece.batch).cpu()  # [n_spans k n]
        return torch.stack([sums[self.rows[u], :, k].reshape(-1, len(gradients)).sum(0) for k, u in enumerate(own)])

    @staticmethod
    def _indices(nodes: Sequence[NodeName], like: Tensor) -> Int[Tensor, " n"]:
        """Features' numbers; 0 stands for the error."""
        return torch.tensor([node.index or 0 for node in nodes], device=like.device)
