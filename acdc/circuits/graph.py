"""The computational graph of a model's shape: sources, destinations, edges, and masks over them.

Sources write to the residual stream: `input`, each head `a{l}.h{h}`, each MLP `m{l}`. Destinations read from it: each
head's `<q>`, `<k>` and `<v>` input, each MLP's input, `logits`. An edge joins a source to every later destination. A
mask is a boolean tensor `[src, dst]`, True where the edge is kept. Order and names are those of EAP-IG and MIB.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.errors import CircuitError, shown

__all__ = ["QKV", "Graph", "input_of", "kind_of"]

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

    >>> graph = Graph(n_layers=12, n_heads=12, d_model=768)
    >>> graph.n_src, graph.n_dst, graph.n_edges
    (157, 445, 32491)
    >>> graph.edge_name(1, 444)
    'a0.h0->logits'
    """

    n_layers: int
    n_heads: int
    d_model: int
    parallel: bool = False

    def __post_init__(self) -> None:
        for field in ("n_layers", "n_heads", "d_model"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
                expected = f"a positive integer of at most {LARGEST:,}"
                raise CircuitError(f"a graph's {field} must be {expected}, not {shown(value, 40)}")
        if self.n_src * self.n_dst > MAX_PAIRS:
            raise CircuitError(
                f"a graph may have at most {MAX_PAIRS:,} pairs of a source and a destination; {self.shape} have more"
            )

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of a mask's rows."""
        blocks = ([f"a{layer}.h{h}" for h in range(self.n_heads)] + [f"m{layer}"] for layer in range(self.n_layers))
        return ("input", *(name for block in blocks for name in block))

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """Names of the destinations, in the order of a mask's columns: per layer all q, all k, all v, the MLP."""
        blocks = (
            [f"a{layer}.h{h}<{kind}>" for kind in QKV for h in range(self.n_heads)] + [f"m{layer}"]
            for layer in range(self.n_layers)
        )
        return (*(name for block in blocks for name in block), "logits")

    @property
    def n_src(self) -> int:
        """Number of sources."""
        return 1 + self.n_layers * (self.n_heads + 1)

    @property
    def n_dst(self) -> int:
        """Number of destinations."""
        return self.n_layers * (3 * self.n_heads + 1) + 1

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
        return torch.tensor([*counts, self.n_src])

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
        """Column of a head's `q`, `k` or `v` input."""
        return layer * (3 * self.n_heads + 1) + QKV.index(kind) * self.n_heads + head

    def mlp_dst(self, layer: int) -> int:
        """Column of an MLP's input."""
        return layer * (3 * self.n_heads + 1) + 3 * self.n_heads

    @staticmethod
    def node_of(destination: str) -> str:
        """The node that a destination belongs to: `a1.h0<q>` to `a1.h0`; `m3` and `logits` to themselves."""
        return destination.split("<")[0]

    def layer_of(self, node: str) -> int:
        """Block of a node or destination; -1 for `input` and `n_layers` for `logits`."""
        if node in ("input", "logits"):
            return -1 if node == "input" else self.n_layers
        return int(node[1:].split(".")[0])

    @cached_property
    def src_of_dst(self) -> tuple[int | None, ...]:
        """The row of each destination's own node; None for `logits`, which is not a source."""
        return tuple(self.src_index.get(self.node_of(name)) for name in self.destinations)

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
                named = shown(part, 60)
                raise CircuitError(f"{edge}: {named} is not a {kind} of a graph of {self.shape}{_hint(part)}")
        i, j = self.src_index[src], self.dst_index[dst]
        if i >= int(self.upstream[j]):
            raise CircuitError(f"{edge}: {src} does not come before {dst}, so no edge joins them")
        return i, j

    @property
    def shape(self) -> str:
        """The shape in words, for messages."""
        return f"{self.n_layers} layers x {self.n_heads} heads" + (", parallel blocks" if self.parallel else "")

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
        rows, columns = mask.any(1).tolist(), mask.any(0).tolist()
        touched = {name for name, kept in zip(self.sources, rows, strict=True) if kept}
        touched |= {self.node_of(name) for name, kept in zip(self.destinations, columns, strict=True) if kept}
        return [name for name in (*self.sources, "logits") if name in touched]

    def prune(self, mask: Bool[Tensor, "src dst"], *, from_input: bool = True) -> Bool[Tensor, "src dst"]:
        """The mask without edges that lie on no path from `input` to `logits`.

        Args:
            from_input: If not, edges that no path joins to `input` stay: only those go that don't reach `logits`, which
                changes nothing of what a circuit computes, whatever its removed edges carry.
        """
        useful = self._reaching_logits(mask)
        ends = torch.tensor([src is None or bool(useful[src]) for src in self.src_of_dst])
        kept = mask & ends[None, :]
        return kept & self._reached_from_input(kept)[:, None] if from_input else kept

    def _reached_from_input(self, mask: Bool[Tensor, "src dst"]) -> Bool[Tensor, " src"]:
        reached = torch.zeros(self.n_src, dtype=torch.bool)
        reached[0] = True
        for dst, src in enumerate(self.src_of_dst):  # causal order: a node's sources are settled before it
            if src is not None and bool((mask[:, dst] & reached).any()):
                reached[src] = True
        return reached

    def _reaching_logits(self, mask: Bool[Tensor, "src dst"]) -> Bool[Tensor, " src"]:
        useful = mask[:, -1].clone()
        for dst in reversed(range(self.n_dst - 1)):
            if useful[self.src_of_dst[dst]]:
                useful |= mask[:, dst]
        return useful


def kind_of(node: str) -> str:
    """`input`, `head`, `mlp` or `logits`."""
    if node in ("input", "logits"):
        return node
    return "head" if node.startswith("a") else "mlp"


def input_of(destination: str) -> str:
    """`q`, `k` or `v` for a head's input, else the empty string."""
    return destination[-2] if destination.endswith(">") else ""


def _hint(part: str) -> str:
    if re.fullmatch(r"a\d+\.h\d+", part):
        return " (a head as a destination needs its input: '<q>', '<k>' or '<v>')"
    return ""
