"""A circuit: the edges of a model's graph that a task needs, with the evidence for each, as an immutable value."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.copied import Copied, lazy_copy
from acdc.circuits.file import MAX_JSON_BYTES, Parts, decode, encode, shape_of
from acdc.circuits.graph import Graph
from acdc.circuits.merging import merged
from acdc.circuits.score_kinds import ScoreKind, check_score_kind
from acdc.circuits.views import html_table, to_frame, to_networkx
from acdc.circuits.weighted import weighted_graph
from acdc.errors import CircuitError, FileError, printable
from acdc.files import read_json, write_atomically

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["Circuit", "model_words"]


def _given_mask(mask: Any) -> Tensor:
    if not isinstance(mask, Tensor):
        raise CircuitError(f"a circuit's mask must be a boolean tensor [src, dst], not {type(mask).__name__}")
    return mask.detach().cpu().clone()


def _given_scores(scores: Any) -> Tensor | None:
    if scores is None:
        return None
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        kind = str(scores.dtype).removeprefix("torch.") if isinstance(scores, Tensor) else type(scores).__name__
        raise CircuitError(f"a circuit's scores must be a floating point tensor [src, dst], not {kind}")
    return scores.detach().cpu().to(torch.float64, copy=True)


def _given_provenance(provenance: Any) -> dict[str, Any]:
    try:
        return json.loads(json.dumps({} if provenance is None else dict(provenance), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        reason = printable(str(error), 100)
        raise CircuitError(f"a circuit's provenance must be a mapping that JSON can hold: {reason}") from None


def model_words(name: str) -> str:
    """A model's name as titles show it: a local folder's own name instead of its path, a hub's as it is.

    >>> model_words("/home/me/models/gpt2-tuned"), model_words("org/model")
    ('gpt2-tuned', 'org/model')
    """
    path = Path(name)
    if path.parent.name == "snapshots":  # a hub's cache: models--org--name/snapshots/<commit>
        return path.parent.parent.name.removeprefix("models--").replace("--", "/")
    is_path = path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2
    return path.expanduser().resolve().name if is_path else name


@dataclass(frozen=True, eq=False)
class Circuit:
    """The kept edges of a graph, how much each matters, and where that is known from.

    A circuit can't be changed: its tensors are copied when given, and when read too, though lazily: their bytes only if
    someone writes to them. Two circuits are equal when graph, mask and scores are; what the scores are called and where
    all comes from isn't compared.

    Args:
        graph: The graph of the model's shape.
        mask: `[src, dst]`, True where the edge is kept.
        scores: `[src, dst]` score of each edge, held in float64; NaN: not measured. None when no edge was measured.
        provenance: What JSON can hold. `task`, `model`, `method` and `tau` appear in the circuit's one-line summary.
        score_kind: What the scores are: see `acdc.circuits.score_kinds`; only effects are in the metric's unit. None:
            unknown.

    Raises:
        CircuitError: A tensor has another shape or dtype, the mask keeps pairs that are not edges, the provenance isn't
            JSON, or there is no such kind of scores.

    >>> graph = Graph(n_layers=1, n_heads=2, d_model=8)
    >>> circuit = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits"], provenance={"task": "copy"})
    >>> circuit
    Circuit(2 of 13 edges, 3 nodes; 1 layers x 2 heads; copy)
    >>> "input->m0" in circuit, circuit.nodes
    (False, ('input', 'a0.h1', 'logits'))
    """

    graph: Graph
    mask: Bool[Tensor, "src dst"] = Copied(_given_mask, lazy_copy)  # type: ignore[assignment]
    scores: Float[Tensor, "src dst"] | None = Copied(_given_scores, lazy_copy, None)  # type: ignore[assignment]
    provenance: Mapping[str, Any] = Copied(_given_provenance, deepcopy, None)  # type: ignore[assignment]
    score_kind: ScoreKind | None = None

    def __post_init__(self) -> None:
        self.graph.check_mask(self.mask)
        check_score_kind(self.score_kind)
        scores, shape = self.__dict__["scores"], (self.graph.n_src, self.graph.n_dst)  # its own, not a copy
        if scores is None:
            return
        if tuple(scores.shape) != shape:
            raise CircuitError(f"scores for {self.graph.shape} must be {list(shape)}, not {list(scores.shape)}")
        scores.masked_fill_(~self.graph.edges_mask, math.nan)

    @classmethod
    def from_edges(
        cls, graph: Graph, edges: Iterable[str], *, provenance: Mapping[str, Any] | None = None
    ) -> "Circuit":
        """The circuit that keeps exactly the named edges, without scores."""
        return cls(graph, graph.mask_of(edges), provenance=provenance or {})

    @property
    def edges(self) -> tuple[str, ...]:
        """Names of the kept edges."""
        return tuple(self.graph.edge_names(self.mask))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that touch a kept edge, from `input` to `logits`."""
        return tuple(self.graph.node_names(self.mask))

    @property
    def n_edges(self) -> int:
        """Number of kept edges."""
        return int(self.mask.count_nonzero())

    @property
    def origin(self) -> str:
        """Task, model, method and tau in words, as far as the provenance says; else empty. Names, not paths."""
        known = {key: value for key, value in self.provenance.items() if value is not None}
        if "task" in known:
            known["task"] = known.get("task_name", known["task"])
        if "model" in known:
            known["model"] = model_words(str(known["model"]))
        words = (("", "task"), ("on ", "model"), ("by ", "method"), ("tau=", "tau"))
        return " ".join(f"{word}{known[key]}" for word, key in words if key in known)

    def prune(self) -> "Circuit":
        """The circuit without edges that lie on no path from `input` to `logits`.

        This changes nothing of what the circuit computes if removed edges carry one run's outputs (`corrupt`, `noise`,
        `resample`). Under `zero`, means and `optimal` it does: there a node without live inputs carries a signal of its
        own, and `Problem.prune` is what changes nothing.
        """
        return Circuit(self.graph, self.graph.prune(self.mask), self.scores, self.provenance, self.score_kind)

    def merge_spans(self) -> "Circuit":
        """The circuit of whole edges: one is kept if it is kept at any span.

        Estimated effects add up over the spans; of other scores the largest in size stays, and of effects and shares it
        then only ranks the edges (`importance`). A circuit without spans is as it is.
        """
        return merged(self)

    def flip_scores(self) -> "Circuit":
        """The circuit with every score's sign reversed: some tools score an edge negatively where it is needed.

        Raises:
            CircuitError: It has no scores.
        """
        if (scores := self.scores) is None:
            raise CircuitError("the circuit has no scores whose sign could be flipped")
        turned = {"flipped_scores": not self.provenance.get("flipped_scores", False)}
        return Circuit(self.graph, self.mask, -scores, {**self.provenance, **turned}, self.score_kind)

    def __contains__(self, edge: object) -> bool:
        """Whether the named edge is kept; a name that is not an edge of the graph raises `CircuitError`."""
        return isinstance(edge, str) and bool(self.mask[self.graph.parse_edge(edge)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Circuit):
            return NotImplemented
        return self.graph == other.graph and torch.equal(self.mask, other.mask) and _same(self.scores, other.scores)

    def __hash__(self) -> int:
        return hash((self.graph, self.mask.numpy().tobytes()))

    def __or__(self, other: "Circuit") -> "Circuit":
        """The edges that either circuit keeps; as in every set operation, the scores stay if both have the same."""
        return self._combine("|", other, lambda a, b: a | b)

    def __and__(self, other: "Circuit") -> "Circuit":
        """The edges that both circuits keep."""
        return self._combine("&", other, lambda a, b: a & b)

    def __sub__(self, other: "Circuit") -> "Circuit":
        """The edges that this circuit keeps and the other doesn't."""
        return self._combine("-", other, lambda a, b: a & ~b)

    def __xor__(self, other: "Circuit") -> "Circuit":
        """The edges that just one of the circuits keeps."""
        return self._combine("^", other, lambda a, b: a ^ b)

    def _combine(self, symbol: str, other: "Circuit", operation: Callable[[Tensor, Tensor], Tensor]) -> Any:
        if not isinstance(other, Circuit):
            return NotImplemented
        if self.graph != other.graph:
            shapes = f"{shape_of(self.graph)} and {shape_of(other.graph)}"
            raise CircuitError(f"{symbol} needs two circuits of one graph, not {shapes}")
        # effects measured in different circuits don't compare, so they are dropped rather than mixed
        scores = self.scores if _same(self.scores, other.scores) else None
        mine, theirs = self.provenance, other.provenance
        shared = {key: value for key, value in mine.items() if key in theirs and theirs[key] == value}
        provenance = shared | {"operation": symbol, "operands": [dict(mine), dict(theirs)]}
        kind = self.score_kind if scores is not None and self.score_kind == other.score_kind else None
        return Circuit(self.graph, operation(self.mask, other.mask), scores, provenance, kind)

    def to_networkx(self) -> "nx.MultiDiGraph":
        """The kept edges as a networkx graph between nodes: see `acdc.circuits.views.to_networkx`."""
        return to_networkx(weighted_graph(self))

    def to_frame(self, most: int | None = None) -> "pd.DataFrame":
        """A row for each edge of the graph, kept or not, or for so many: see `acdc.circuits.views.to_frame`."""
        return to_frame(self, most)

    def save(self, path: str | os.PathLike[str], *, full: bool = False) -> Path:
        """Write the circuit as JSON that EAP-IG and MIB read too; an interrupted write leaves the old file whole.

        Args:
            path: The file.
            full: Give every edge a line, as other tools' rankings need; else the kept edges have one, and the scores of
                all stand packed behind them. `load` reads both.

        Raises:
            FileError: The file can't be written.
        """
        parts = Parts(self.graph, self.mask, self.scores, dict(self.provenance), self.score_kind)
        return write_atomically(path, "".join(encode(parts, set(self.nodes), full=full)).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str], graph: Graph | None = None) -> "Circuit":
        """Read a circuit that `save`, EAP-IG or MIB wrote.

        Args:
            path: The JSON file.
            graph: The graph that the circuit must belong to, if it is known.

        Raises:
            CircuitError: There is no such file, it holds no circuit, or it belongs to a model of another shape.
        """
        try:
            data = read_json(path, max_bytes=MAX_JSON_BYTES, allow_nan=True)
        except FileError as error:
            raise CircuitError(str(error)) from None
        try:
            return cls.from_json(data, graph)
        except CircuitError as error:
            raise CircuitError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, data: Any, graph: Graph | None = None, *, node_scores: bool = True) -> "Circuit":
        """The circuit of a file's JSON value.

        Args:
            data: As `json.load` gives it.
            graph: The graph that the circuit must belong to, if it is known.
            node_scores: Whether scores of nodes, which a circuit doesn't hold, are passed over.

        Raises:
            CircuitError: It holds no circuit, or one of a model of another shape.
        """
        try:
            return cls(*decode(data, graph, node_scores=node_scores))
        except RecursionError:
            raise CircuitError("holds no circuit: it is nested too deeply") from None

    def __repr__(self) -> str:
        graph = self.graph
        origin = f"; {self.origin}" if self.origin else ""
        return f"Circuit({self.n_edges} of {graph.n_edges} edges, {len(self.nodes)} nodes; {graph.shape}{origin})"

    def _repr_html_(self) -> str:
        return html_table(self)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
