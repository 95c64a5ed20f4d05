"""ACDC's names of nodes and edges: TransformerLens's hook points with an index, as pure functions on names.

A source is `blocks.0.hook_resid_pre[:]` (input), `blocks.3.attn.hook_result[:, :, 7]` or `blocks.5.hook_mlp_out[:]`; a
destination is `blocks.9.hook_q_input[:, :, 1]`, `blocks.5.hook_mlp_in[:]` or `blocks.11.hook_resid_post[:]` (logits).

Reference:
    Conmy et al. 2023; `TorchIndex` and `TLACDCCorrespondence.setup_from_model` in their code.
"""

import re
from typing import NamedTuple

from acdc.circuits.graph import QKV, Graph
from acdc.errors import CircuitError

__all__ = ["HookEdge", "HookPoint", "destination_of_hook", "hook_of_destination", "hook_of_source", "source_of_hook"]

ARROW = " -> "
SOURCES = {"hook_resid_pre": "input", "attn.hook_result": "head", "hook_mlp_out": "mlp"}
DESTINATIONS = {
    **{f"hook_{kind}_input": kind for kind in QKV},
    "hook_mlp_in": "mlp",
    "hook_resid_mid": "mlp",  # ACDC's first versions
    "hook_resid_post": "logits",
}
INSIDE = {f"attn.hook_{kind}" for kind in QKV}  # between a head's input and its output
POINT = re.compile(r"blocks\.(\d+)\.([a-z_.]+)")


class HookPoint(NamedTuple):
    """A hook's name and the place in it: `(None, None, 7)` for `[:, :, 7]`, the head; `(None,)` for `[:]`."""

    name: str
    place: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(':' if i is None else str(i) for i in self.place)}]"

    @classmethod
    def parse(cls, text: str) -> "HookPoint":
        """Read `blocks.3.attn.hook_result[:, :, 7]`; a name without an index has `[:]`.

        >>> HookPoint.parse("blocks.3.attn.hook_result[:, :, 7]")
        HookPoint(name='blocks.3.attn.hook_result', place=(None, None, 7))
        """
        match = re.fullmatch(r"\s*([\w.]+)\s*(?:\[([^\]]*)\])?\s*", text)
        if match is None:
            raise CircuitError(f"{text!r} is not a hook point: expected one like 'blocks.3.attn.hook_result[:, :, 7]'")
        parts = [part.strip() for part in (match[2] or ":").split(",")]
        if any(part not in (":", "COLON", "None") and not part.isdecimal() for part in parts):
            raise CircuitError(f"{text!r}: its index must be numbers and colons, like '[:, :, 7]'")
        return cls(match[1], tuple(int(part) if part.isdecimal() else None for part in parts))


class HookEdge(NamedTuple):
    """An edge as ACDC keeps it: where it ends, then where it starts."""

    receiver: HookPoint
    sender: HookPoint

    def __str__(self) -> str:
        return f"{self.sender}{ARROW}{self.receiver}"

    @classmethod
    def parse(cls, text: str) -> "HookEdge":
        """Read `sender -> receiver`."""
        sender, arrow, receiver = text.partition("->")
        if not arrow:
            raise CircuitError(f"{text!r} is not an edge: expected 'sender -> receiver'")
        return cls(HookPoint.parse(receiver), HookPoint.parse(sender))

    @classmethod
    def of(cls, graph: Graph, edge: str) -> "HookEdge":
        """The named edge in ACDC's words.

        >>> str(HookEdge.of(Graph(2, 2, 8), "a0.h1->a1.h0<q>"))
        'blocks.0.attn.hook_result[:, :, 1] -> blocks.1.hook_q_input[:, :, 0]'
        """
        src, _, dst = edge.partition("->")
        return cls(hook_of_destination(graph, dst), hook_of_source(src))

    @property
    def is_inside_a_node(self) -> bool:
        """Whether the edge joins a node's input to its own output: no edge of the residual stream, and always there."""
        (layer, sender), (same, receiver) = _split(self.sender), _split(self.receiver)
        own = layer == same and (len(self.sender.place) < 3 or self.sender.place == self.receiver.place)
        return own and (
            (sender in DESTINATIONS and receiver in INSIDE)
            or (sender in INSIDE and receiver == "attn.hook_result")
            or (sender in ("hook_mlp_in", "hook_resid_mid") and receiver == "hook_mlp_out")
        )

    def edge(self, graph: Graph) -> str:
        """The edge's name in `graph`; the inverse of `of`.

        Raises:
            CircuitError: The graph has no such edge, or it is of a single position.
        """
        name = f"{source_of_hook(graph, self.sender)}->{destination_of_hook(graph, self.receiver)}"
        try:
            graph.parse_edge(name)
        except CircuitError as error:
            raise CircuitError(f"{str(self)!r}: {error}") from None
        return name


def hook_of_source(source: str) -> HookPoint:
    """The hook point that a source writes to.

    >>> str(hook_of_source("m5"))
    'blocks.5.hook_mlp_out[:]'
    """
    if source == "input":
        return HookPoint("blocks.0.hook_resid_pre", (None,))
    layer, _, head = source[1:].partition(".h")
    return (
        HookPoint(f"blocks.{layer}.attn.hook_result", (None, None, int(head)))
        if head
        else HookPoint(f"blocks.{layer}.hook_mlp_out", (None,))
    )


def hook_of_destination(graph: Graph, destination: str) -> HookPoint:
    """The hook point that a destination reads."""
    if destination == "logits":
        return HookPoint(f"blocks.{graph.n_layers - 1}.hook_resid_post", (None,))
    match = re.fullmatch(r"a(\d+)\.h(\d+)<([qkv])>", destination)
    if match is None:
        return HookPoint(f"blocks.{destination[1:]}.hook_mlp_in", (None,))
    return HookPoint(f"blocks.{match[1]}.hook_{match[3]}_input", (None, None, int(match[2])))


def source_of_hook(graph: Graph, point: HookPoint) -> str:
    """The source that writes to a hook point; the inverse of `hook_of_source`.

    Raises:
        CircuitError: No source does, or the point is of a single position.
    """
    layer, place = _split(point)
    kind = SOURCES.get(place)
    if kind is None or (kind == "input" and layer != 0):
        raise CircuitError(f"{str(point)!r} is not a source of a graph of {graph.shape}{_why(point)}")
    if kind == "head":
        return f"a{layer}.h{_head(point)}"
    _check_whole(point)
    return "input" if kind == "input" else f"m{layer}"


def destination_of_hook(graph: Graph, point: HookPoint) -> str:
    """The destination that reads a hook point; the inverse of `hook_of_destination`.

    Raises:
        CircuitError: No destination does, or the point is of a single position.
    """
    layer, place = _split(point)
    kind = DESTINATIONS.get(place)
    if kind is None or (kind == "logits" and layer != graph.n_layers - 1):
        raise CircuitError(f"{str(point)!r} is not a destination of a graph of {graph.shape}{_why(point)}")
    if kind in QKV:
        return f"a{layer}.h{_head(point)}<{kind}>"
    _check_whole(point)
    return "logits" if kind == "logits" else f"m{layer}"


def _split(point: HookPoint) -> tuple[int, str]:
    match = POINT.fullmatch(point.name)
    return (int(match[1]), match[2]) if match else (-1, point.name)


def _why(point: HookPoint) -> str:
    if point.name in ("hook_embed", "hook_pos_embed"):
        return ": tokens and positions are one source here, 'input'; search with use_pos_embed off"
    return ""


def _head(point: HookPoint) -> int:
    """The head of an index `[:, :, head]`."""
    if len(point.place) != 3 or point.place[2] is None:
        raise CircuitError(f"{str(point)!r} must say its head, like '[:, :, 7]'")
    _check_whole(point)
    return point.place[2]


def _check_whole(point: HookPoint) -> None:
    if any(i is not None for i in point.place[:2]):
        raise CircuitError(f"{str(point)!r} is of one position: edges of single positions can't be carried")
