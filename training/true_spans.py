"""A true circuit by span: each of its edges at the spans where what its destination reads matters."""

from collections.abc import Mapping, Sequence

from acdc import Circuit

__all__ = ["split_truth"]


def split_truth(truth: Circuit, at: Mapping[str, Sequence[str]], spans: Sequence[str]) -> Circuit:
    """The true edges split by spans.

    Args:
        at: Of each destination, the spans at which what it reads matters.
        spans: All spans, as a split batch has them.
    """
    edges = [f"{edge}@{span}" for edge in truth.edges for span in at[edge.partition("->")[2]]]
    return Circuit.from_edges(truth.graph.split(spans), edges, provenance=truth.provenance)
