"""The computational graph of a model's shape: sources, destinations, edges, and masks over them.

Sources write to the residual stream: `input`, each head `a{l}.h{h}`, each MLP `m{l}`. Destinations read from it: each
head's `<q>`, `<k>` and `<v>` input, each MLP's input, `logits`. An edge joins a source to every later destination. A
mask is a boolean tensor `[src, dst]`, True where the edge is kept. Order and names are those of EAP-IG and MIB.

Edges may be split by span: `a0.h1->a5.h1<q>@S2` is what `a0.h1` writes at the tokens of span S2, read there. Then every
destination has a column for each span, side by side, and a source at a span is a site, `a0.h1@S2`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.circuits.names import base_of, hint, input_of, kind_of, node_of, site_of, span_of
from acdc.circuits.paths import reached_sites, useful_destinations
from acdc.circuits.spans import Sees, check_sees, check_spans
from acdc.errors import CircuitError, shown

__all__ = ["QKV", "Graph", "base_of", "input_of", "kind_of", "span_of"]

QKV = ("q", "k", "v")
MAX_PAIRS = 10**8  # of a source and a destination: a mask of 100 MB; Llama-3 70B's graph has 80 million
LARGEST = 10**6  # of layers, heads, or the width


@dataclass(frozen=True)
class Graph:
    """The graph of a model with `n_layers` blocks of `n_heads` heads and one MLP each.

    Args:
        n_layers, n_heads, d_model: The model's shape; `n_heads` counts query heads, each with its own q, k, v input. A
            shape of more than `MAX_PAIRS` pairs of a source and a destination is refused before anything is built.
        parallel: Attention and MLP of a block read the same residual stream, so no edge joins a layer's heads to its
            own MLP.
        spans: Names of the spans by which edges are split, in the order in which they come; the last one holds the
            target position, and is the only one of the logits. None: edges are not split.
        sees: Which spans (rows) attend to which (columns), as a batch of prompts tells; without prompts every span to
            every span. Graphs that differ in this alone are equal.

    >>> graph = Graph(n_layers=12, n_heads=12, d_model=768)
    >>> graph.n_src, graph.n_dst, graph.n_edges
    (157, 445, 32491)
    >>> graph.edge_name(1, 444)
    'a0.h0->logits'
    >>> split = Graph(n_layers=1, n_heads=1, d_model=4).split(["name", "end"])
    >>> split.n_edges, split.edge_name(1, 6), split.node_of("a0.h0<k>@name")
    (13, 'a0.h0->m0@name', 'a0.h0@name')
    """

    n_layers: int
    n_heads: int
    d_model: int
    parallel: bool = False
    spans: tuple[str, ...] = ()
    sees: Sees = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        check_spans(self.spans)
        object.__setattr__(self, "sees", check_sees(self.sees, self.n_spans))
        for name in ("n_layers", "n_heads", "d_model"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
                expected = f"a positive integer of at most {LARGEST:,}"
                raise CircuitError(f"a graph's {name} must be {expected}, not {shown(value, 40)}")
        if self.n_src * self.n_dst > MAX_PAIRS:
            raise CircuitError(
                f"a graph may have at most {MAX_PAIRS:,} pairs of a source and a destination; {self.shape} have more"
            )

    def split(self, spans: Sequence[str], sees: Sees = ()) -> "Graph":
        """This graph with its edges split by spans."""
        return replace(self, spans=tuple(spans), sees=sees)

    @cached_property
    def whole(self) -> "Graph":
        """This graph with whole edges."""
        return replace(self, spans=(), sees=()) if self.spans else self

    @property
    def n_spans(self) -> int:
        """Number of spans; 1 where edges are not split."""
        return len(self.spans) or 1

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of a mask's rows."""
        blocks = ([f"a{layer}.h{h}" for h in range(self.n_heads)] + [f"m{layer}"] for layer in range(self.n_layers))
        return ("input", *(name for block in blocks for name in block))

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """Names of the destinations, in the order of a mask's columns: per layer all q, all k, all v, the MLP; each at
        all spans."""
        blocks = (
            [f"a{layer}.h{h}<{kind}>" for kind in QKV for h in range(self.n_heads)] + [f"m{layer}"]
            for layer in range(self.n_layers)
        )
        return self._at_spans((*(name for block in blocks for name in block), "logits"))

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sources at each span: the nodes that write. An edge's is that of its source at its span."""
        return self._at_spans(self.sources)

    def _at_spans(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{name}@{span}" for name in names for span in self.spans) if self.spans else names

    @property
    def n_src(self) -> int:
        """Number of sources."""
        return 1 + self.n_layers * (self.n_heads + 1)

    @property
    def n_dst(self) -> int:
        """Number of destinations, at all spans."""
        return (self.n_layers * (3 * self.n_heads + 1) + 1) * self.n_spans

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.upstream.sum())

    @cached_property
    def src_index(self) -> Mapping[str, int]:
        """Row of each source."""
        return {name: i for i, name in enumerate(self.sources)}

    @cached_property
    def dst_index(self) -> Mapping[str, int]:
        """Column of each destination."""
        return {name: j for j, name in enumerate(self.destinations)}

    @cached_property
    def upstream(self) -> Int[Tensor, " dst"]:
        """How many sources each destination reads: always the first ones, since sources stand in causal order."""
        block = self.n_heads + 1
        counts = [
            1 + layer * block + (self.n_heads if name == "m" and not self.parallel else 0)
            for layer in range(self.n_layers)
            for name in [*(QKV * self.n_heads), "m"]
        ]
        before_logits = torch.tensor(counts).repeat_interleave(self.n_spans)
        return torch.cat([before_logits, torch.tensor([0] * (self.n_spans - 1) + [self.n_src])])

    @property
    def edges_mask(self) -> Bool[Tensor, "src dst"]:
        """True where an edge exists: the mask of the whole model."""
        return torch.arange(self.n_src)[:, None] < self.upstream[None, :]

    def head_src(self, layer: int, head: int = 0) -> int:
        """Row of a head."""
        return 1 + layer * (self.n_heads + 1) + head

    def mlp_src(self, layer: int) -> int:
        """Row of an MLP."""
        return self.head_src(layer, self.n_heads)

    def head_dst(self, layer: int, kind: str, head: int = 0) -> int:
        """Column of a head's `q`, `k` or `v` input; with spans, that at the first."""
        return (layer * (3 * self.n_heads + 1) + QKV.index(kind) * self.n_heads + head) * self.n_spans

    def mlp_dst(self, layer: int) -> int:
        """Column of an MLP's input; with spans, that at the first."""
        return (layer * (3 * self.n_heads + 1) + 3 * self.n_heads) * self.n_spans

    node_of = staticmethod(node_of)
    site_of = staticmethod(site_of)

    def layer_of(self, node: str) -> int:
        """Block of a node or destination; -1 for `input` and `n_layers` for `logits`."""
        node = base_of(node)
        if node in ("input", "logits"):
            return -1 if node == "input" else self.n_layers
        return int(node[1:].split(".")[0])

    @cached_property
    def src_of_dst(self) -> tuple[int | None, ...]:
        """The row of each destination's own node; None for `logits`, which is not a source."""
        return tuple(self.src_index.get(base_of(self.node_of(name))) for name in self.destinations)

    @cached_property
    def sites_of_dst(self) -> tuple[tuple[int, ...], ...]:
        """Which sites' outputs each destination changes, as indices of `sites`; none for the logits.

        A key or value is read from every span that attends to its own; all else stays in its span.
        """
        found, n = list[tuple[int, ...]](), self.n_spans
        for dst, (src, name) in enumerate(zip(self.src_of_dst, self.destinations, strict=True)):
            here, crosses = dst % n, input_of(name) in ("k", "v")
            at = [span for span in range(n) if self.sees[span][here]] if crosses else [here]
            found.append(() if src is None else tuple(src * n + span for span in at))
        return tuple(found)

    def edge_name(self, src: int, dst: int) -> str:
        """`a0.h1->a1.h0<q>` for row `src` and column `dst`.

        Raises:
            CircuitError: There is no such edge.
        """
        if not (0 <= dst < self.n_dst and 0 <= src < int(self.upstream[dst])):
            raise CircuitError(f"no edge joins source {src} to destination {dst} in {self}")
        return f"{self.sources[src]}->{self.destinations[dst]}"

    def parse_edge(self, name: str) -> tuple[int, int]:
        """Row and column of an edge's name.

        Raises:
            CircuitError: The name isn't `source->destination`, or this graph has no such edge.
        """
        src, arrow, dst = (part.strip() for part in name.partition("->"))
        edge = shown(name, 80)
        if not arrow:
            raise CircuitError(f"{edge} is not an edge: expected 'source->destination', like 'a0.h1->a1.h0<q>'")
        for kind, part, known in (("source", src, self.src_index), ("destination", dst, self.dst_index)):
            if part not in known:
                why = hint(part, self.spans if kind == "destination" else ())
                raise CircuitError(f"{edge}: {shown(part, 60)} is not a {kind} of a graph of {self.shape}{why}")
        i, j = self.src_index[src], self.dst_index[dst]
        if i >= int(self.upstream[j]):
            raise CircuitError(f"{edge}: {src} does not come before {dst}, so no edge joins them")
        return i, j

    @property
    def shape(self) -> str:
        """The shape in words, for messages."""
        shape = f"{self.n_layers} layers x {self.n_heads} heads" + (", parallel blocks" if self.parallel else "")
        return shape + (f", split by the spans {shown(', '.join(self.spans), 80)}" if self.spans else "")

    def check_mask(self, mask: Bool[Tensor, "src dst"]) -> None:
        """Raise `CircuitError` unless `mask` is a boolean `[n_src, n_dst]` that keeps only existing edges."""
        if mask.dtype != torch.bool or tuple(mask.shape) != (self.n_src, self.n_dst):
            raise CircuitError(
                f"a mask for {self.shape} must be bool [{self.n_src}, {self.n_dst}], "
                f"not {str(mask.dtype).removeprefix('torch.')} {list(mask.shape)}"
            )
        if extra := (mask.cpu() & ~self.edges_mask).sum().item():
            raise CircuitError(f"the mask keeps {extra} pairs that are not edges of a graph of {self.shape}")

    def edge_names(self, mask: Bool[Tensor, "src dst"]) -> list[str]:
        """Names of the kept edges, row by row."""
        return [f"{self.sources[i]}->{self.destinations[j]}" for i, j in mask.nonzero().tolist()]

    def mask_of(self, edges: Iterable[str]) -> Bool[Tensor, "src dst"]:
        """The mask that keeps exactly the named edges; the inverse of `edge_names`."""
        mask = torch.zeros(self.n_src, self.n_dst, dtype=torch.bool)
        for name in edges:
            mask[self.parse_edge(name)] = True
        return mask

    def node_names(self, mask: Bool[Tensor, "src dst"]) -> list[str]:
        """Nodes that touch a kept edge, from `input` to `logits`."""
        touched = {name for name, kept in zip(self.sites, self.writing(mask).tolist(), strict=True) if kept}
        read = zip(self.destinations, mask.any(0).tolist(), strict=True)
        touched |= {self.node_of(name) for name, kept in read if kept}
        return [name for name in (*self.sites, self.destinations[-1]) if name in touched]

    def writing(self, mask: Bool[Tensor, "src dst"]) -> Bool[Tensor, " site"]:
        """The sites with a kept outgoing edge."""
        return self.by_span(mask).any(1).flatten()

    def by_span(self, x: Tensor) -> Tensor:
        """`[*n src dst]` as `[*n src destination span]`; a view."""
        return x.unflatten(-1, (-1, self.n_spans))

    def at_sites(self, x: Tensor) -> Tensor:
        """What is said of each site, `[*n site]`, as what is said of each edge's: `[*n src dst]`."""
        of_sources = x.unflatten(-1, (self.n_src, 1, self.n_spans))
        return of_sources.expand(*x.shape[:-1], self.n_src, self.whole.n_dst, self.n_spans).flatten(-2)

    @cached_property
    def dsts_of_site(self) -> tuple[tuple[int, ...], ...]:
        """Which destinations change what each site writes: the inverse of `sites_of_dst`."""
        found = [list[int]() for _ in self.sites]
        for dst, sites in enumerate(self.sites_of_dst):
            for site in sites:
                found[site].append(dst)
        return tuple(map(tuple, found))

    def site(self, src: int, dst: int) -> int:
        """The site that writes on the edge of a row and a column."""
        return src * self.n_spans + dst % self.n_spans

    def prune(self, mask: Bool[Tensor, "src dst"], *, from_input: bool = True) -> Bool[Tensor, "src dst"]:
        """The mask without edges that lie on no path from `input` to `logits`.

        Args:
            from_input: If not, edges that no path joins to `input` stay: only those go that don't reach `logits`, which
                changes nothing of what a circuit computes, whatever its removed edges carry.
        """
        kept = self.by_span(mask).cpu().numpy()
        kept = kept & useful_destinations(self, kept)
        if from_input:
            kept = kept & reached_sites(self, kept)[:, None]
        return torch.from_numpy(kept).flatten(1)
