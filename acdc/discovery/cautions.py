"""What a reader must know of a circuit's size: that nothing is in it, or too much to call it a circuit."""

from jaxtyping import Bool
from torch import Tensor

from acdc.patching.problem import Problem

__all__ = ["cautions"]

MUCH = 0.25  # of the model's edges: from here on it is much of the model rather than a circuit


def cautions(problem: Problem, mask: Bool[Tensor, "src dst"], *, more: str, less: str) -> list[str]:
    """A sentence where no head or MLP does anything in the circuit, or where it keeps a quarter of the model or more.

    Args:
        more, less: What to do for a larger and for a smaller circuit.
    """
    graph, n = problem.graph, int(mask.sum())
    nodes = set(graph.node_names(problem.prune(mask)))
    if not nodes:
        what = "it is empty" if n == 0 else f"none of its {n:,} edges lies on a path to the logits"
        return [f"the circuit does as the run with every edge removed: {what}; {more}"]
    if nodes == {"input", "logits"}:
        return [f"the circuit is the edge input->logits alone, without a head or MLP; {more}"]
    if n >= MUCH * graph.n_edges:
        share = "all" if n == graph.n_edges else f"{n / graph.n_edges:.0%} of"
        return [
            f"the circuit keeps {share} the model's edges, which is much of the model rather than a circuit; {less}"
        ]
    return []
