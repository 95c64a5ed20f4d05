"""Nodes of an attribution graph."""

from dataclasses import dataclass

__all__ = ["KINDS", "Node", "kind_rank"]

KINDS = ("token", "head", "feature", "mlp", "error", "logit")  # as a layer computes them


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        id: `5_123_7` is feature 123 of layer 5 at position 7; see `acdc.features.attribution_graphs.file` for the rest.
        kind: One of `KINDS`.
        layer: The block that it belongs to; -1 of tokens, and the number of blocks of logits.
        position: Its token's, from 0.
        index: A feature's or head's number, or a token's id; -1 of what a position has one of.
        text: The token, of tokens and logits; of a feature its label, if it has one.
        activation: A feature's.
        value: What its row sums to, with the bias and what is left out: a feature's pre-activation, how far a logit is
            above the vocabulary's mean, or what a head or MLP gives the logits. None where it has no row.
        bias: The part of the value that constants give: biases of the model and of dictionaries.
        left_out: The part of it that features give that are no nodes of the graph.
        size: The sum of the sizes of all that its row reads; its edges' weights are shares of this.
        probability: A logit's.
        influence: How much of what the logits read comes through it, in [0, 1].
        cumulative: The share of all nodes' influence that it and all nodes of more influence have together, in the
            graph before it was pruned; None of logits.
    """

    id: str
    kind: str
    layer: int
    position: int
    index: int = -1
    text: str = ""
    activation: float | None = None
    value: float | None = None
    bias: float | None = None
    left_out: float | None = None
    size: float | None = None
    probability: float | None = None
    influence: float = 0.0
    cumulative: float | None = None

    @property
    def label(self) -> str:
        """What it is called in tables and pictures.

        >>> Node("5_123_7", "feature", 5, 7, 123).label, Node("3_-1_7", "error", 3, 7).label
        ('f5.123', 'error 3')
        """
        match self.kind:
            case "token":
                return repr(self.text)
            case "logit":
                return repr(self.text) + ("" if self.probability is None else f" {self.probability:.0%}")
            case "head":
                return f"a{self.layer}.h{self.index}"
            case "feature":
                return f"f{self.layer}.{self.index}"
            case "mlp":
                return f"m{self.layer}"
        return f"error {self.layer}"


def kind_rank(node: Node) -> tuple[int, int, int, int]:
    """Sorts nodes so that edges lead forwards."""
    return node.layer, KINDS.index(node.kind), node.position, node.index
