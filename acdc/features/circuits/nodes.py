"""Nodes of a feature circuit: a feature of a dictionary, or what a dictionary leaves over, its error.

A node is of a site, which is where its dictionary writes, and of all positions, or of those of one span:

    mlp_out.5/123          feature 123 of the dictionary that writes mlp_out.5
    mlp_out.5/123@S2       the same at the tokens of span S2
    mlp_out.5/error        what that dictionary doesn't reconstruct
"""

from dataclasses import dataclass

from acdc.errors import CircuitError, printable
from acdc.features.sites import Site

__all__ = ["ERROR", "FeatureEdge", "FeatureNode", "NodeName"]

ERROR = "error"


@dataclass(frozen=True)
class NodeName:
    """What a node is called.

    Attributes:
        site: Where its dictionary writes.
        index: Which feature; None: the error.
        span: The positions that it is of; empty: all.

    >>> str(NodeName(Site(5, "mlp_out"), 123, "S2")), NodeName.parse("mlp_out.5/error").index
    ('mlp_out.5/123@S2', None)
    """

    site: Site
    index: int | None
    span: str = ""

    def __str__(self) -> str:
        what = ERROR if self.index is None else str(self.index)
        return f"{self.site}/{what}" + (f"@{self.span}" if self.span else "")

    @classmethod
    def parse(cls, name: str) -> "NodeName":
        """The node of a name.

        Raises:
            ACDCError: It isn't one.
        """
        bare, _, span = name.partition("@")
        site, slash, what = bare.partition("/")
        if not slash or not (what == ERROR or what.isdecimal()):
            raise CircuitError(
                f"a node of a feature circuit is called like mlp_out.5/123 or mlp_out.5/error, not {printable(name)!r}"
            )
        return cls(Site.parse(site), None if what == ERROR else int(what), span)


@dataclass(frozen=True)
class FeatureNode:
    """A kept node, by name.

    Attributes:
        effect: How much ablating it alone is estimated to raise the loss, in the metric's unit.
    """

    name: str
    effect: float


@dataclass(frozen=True)
class FeatureEdge:
    """An edge between kept nodes, or from one to the logits, by their names.

    Attributes:
        weight: How much of the loss's rise, when `src` is ablated, comes by way of `dst` and directly from one to the
            other, as estimated by gradients; in the metric's unit.
    """

    src: str
    dst: str
    weight: float
