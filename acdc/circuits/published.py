"""Circuits that papers found in GPT-2 small: references to compare with, not the truth.

They were found by hand, head by head; the edges between them follow from which class of heads reads which, as Conmy et
al. 2023 draw them for their ROC curves. At the granularity of edges nobody knows the truth of a trained model.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError
from acdc.registry import Registry

__all__ = ["GPT2_SMALL", "REFERENCES", "Reference", "get_reference"]

GPT2_SMALL = Graph(n_layers=12, n_heads=12, d_model=768)

IOI_HEADS: dict[str, tuple[str, ...]] = {
    "previous": ("a2.h2", "a4.h11"),
    "duplicate": ("a0.h1", "a0.h10", "a3.h0"),
    "induction": ("a5.h5", "a5.h8", "a5.h9", "a6.h9"),
    "inhibition": ("a7.h3", "a7.h9", "a8.h6", "a8.h10"),
    "mover": ("a9.h9", "a10.h0", "a9.h6"),
    "backup": ("a9.h0", "a9.h7", "a10.h1", "a10.h2", "a10.h6", "a10.h10", "a11.h2", "a11.h9"),
    "negative": ("a10.h7", "a11.h10"),
}
MOVERS = ("mover", "backup", "negative")
IOI_CLASSES: tuple[tuple[str, str, str], ...] = (  # sources, destinations, the inputs that they are read by
    ("input", "previous", "qkv"),
    ("input", "duplicate", "qkv"),
    ("input", "inhibition", "q"),
    *(("input", mover, "kv") for mover in MOVERS),
    ("previous", "induction", "kv"),
    ("induction", "inhibition", "kv"),
    ("duplicate", "inhibition", "kv"),
    *(("inhibition", mover, "q") for mover in MOVERS),
    *((mover, "logits", "") for mover in MOVERS),
)

YEAR_HEADS, EARLY_MLPS, LATE_MLPS = ("a0.h1", "a0.h3", "a0.h5"), ("m0", "m1", "m2", "m3"), ("m8", "m9", "m10", "m11")


@dataclass(frozen=True)
class Reference:
    """A published circuit of GPT-2 small.

    Attributes:
        task: The built-in task that it is of.
        source: Paper, and where the edges are from.
        edges: Its edges in a graph, in no order.
    """

    name: str
    task: str
    summary: str
    source: str
    edges: Callable[[Graph], Iterator[str]]

    def circuit(self, graph: Graph) -> Circuit:
        """The reference as a circuit of `graph`.

        Raises:
            CircuitError: The graph isn't GPT-2 small's.
        """
        if replace(graph, d_model=GPT2_SMALL.d_model) != GPT2_SMALL:
            raise CircuitError(
                f"the reference {self.name!r} is of GPT-2 small (12 layers x 12 heads), not {graph.shape}"
            )
        provenance = {"task": self.task, "model": "gpt2", "method": self.source, "reference": self.name}
        return Circuit.from_edges(graph, list(dict.fromkeys(self.edges(graph))), provenance=provenance)


def _inputs(node: str, kinds: str = "qkv") -> list[str]:
    return [f"{node}<{kind}>" for kind in kinds] if node.startswith("a") else [node]


def _ioi_edges(graph: Graph) -> Iterator[str]:
    """Edges of the classes; MLPs stand beside the input where it is read, and beside the logits where heads write.

    As in Conmy et al.'s code, each MLP also reads all of the circuit's heads and all MLPs before it, and each head's
    inputs read all MLPs before it.
    """
    mlps = [f"m{layer}" for layer in range(graph.n_layers)]
    heads = [head for group in IOI_HEADS.values() for head in group]
    for sources, destinations, kinds in IOI_CLASSES:
        for node in IOI_HEADS.get(destinations, ("logits",)):
            yield from _existing(graph, IOI_HEADS.get(sources, ("input",)), _inputs(node, kinds))
    yield from _existing(graph, ["input", *heads, *mlps], mlps)
    yield from _existing(graph, mlps, [dst for head in heads for dst in _inputs(head)])
    yield from _existing(graph, ["input", *mlps], ["logits"])


def _greater_than_edges(middle: tuple[str, ...]) -> Callable[[Graph], Iterator[str]]:
    """Early heads and MLPs read the input, the middle heads read them, and the late MLPs the middle heads.

    The middle heads' queries also read all MLPs before them, and these MLPs each other, as in Conmy et al.'s code.
    """

    def edges(graph: Graph) -> Iterator[str]:
        last = max(graph.layer_of(head) for head in middle)
        before = [f"m{layer}" for layer in range(last)]
        heads = [dst for head in middle for dst in _inputs(head)]
        early = [dst for head in YEAR_HEADS for dst in _inputs(head)]
        yield from _existing(graph, ["input"], [*early, *EARLY_MLPS])
        yield from _existing(graph, ["a0.h1"], EARLY_MLPS)
        yield from _existing(graph, [*YEAR_HEADS, *EARLY_MLPS], heads)
        yield from _existing(graph, middle, LATE_MLPS)
        yield from _existing(graph, [*middle, *LATE_MLPS], ["logits"])
        yield from _existing(graph, LATE_MLPS, LATE_MLPS)
        yield from _existing(graph, before, before)
        yield from _existing(graph, before, [f"{head}<q>" for head in middle])

    return edges


def _existing(graph: Graph, sources: Iterable[str], destinations: Iterable[str]) -> Iterator[str]:
    """All edges from these sources to these destinations that the graph has."""
    for src, dst in product(sources, destinations):
        if graph.src_index[src] < int(graph.upstream[graph.dst_index[dst]]):
            yield f"{src}->{dst}"


HANNA = "Hanna et al. 2023 (arXiv 2305.00586)"
CONMY = "edges as in Conmy et al. 2023 (arXiv 2304.14997)"
REFERENCES = Registry.of(
    "reference circuit",
    (
        Reference(
            "ioi-wang",
            "ioi",
            "26 heads in seven classes, and all MLPs",
            f"Wang et al. 2022 (arXiv 2211.00593); {CONMY}",
            _ioi_edges,
        ),
        Reference(
            "greater-than-hanna",
            "greater-than",
            "ten heads, as in the authors' code, and their MLPs",
            f"{HANNA}; {CONMY}",
            _greater_than_edges(("a5.h1", "a5.h5", "a6.h9", "a7.h10", "a8.h8", "a8.h11", "a9.h1")),
        ),
        Reference(
            "greater-than-conmy",
            "greater-than",
            "nine heads, as in ACDC's code, and their MLPs",
            f"{HANNA}; heads and {CONMY}",
            _greater_than_edges(("a5.h5", "a6.h1", "a6.h9", "a7.h10", "a8.h11", "a9.h1")),
        ),
    ),
)


def get_reference(name: str) -> Reference:
    """The reference of this name.

    Raises:
        UnknownNameError: There is none.
    """
    return REFERENCES.find(name)
