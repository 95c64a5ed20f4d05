"""How near a circuit comes to its model: every metric, of the full model, the circuit, and with every edge removed."""

from dataclasses import asdict
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from acdc.evaluation.meaning import cautions, no_meaning
from acdc.evaluation.values import normalised, outcomes_of
from acdc.patching.problem import Problem

__all__ = ["measure"]


def measure(problem: Problem, mask: Bool[Tensor, "src dst"]) -> dict[str, Any]:
    """The circuit's metrics on the problem's prompts.

    Three graphs are compared: `model` (all edges kept), `circuit`, and `corrupted` (none kept: every node runs on
    ablated inputs). Means over the prompts; metrics that need wrong answers are left out where a prompt has none.

    Returns:
        `n_prompts`, `n_edges`, `n_edges_of_model`, `n_nodes`; as `{"model", "circuit", "corrupted"}` each metric,
        `accuracy` (right answers above wrong ones), `top1_accuracy` (a right answer above all tokens), `p_correct` and
        `p_wrong` (total probabilities of the answers); `metric`, the name of the problem's own; its normalised
        `faithfulness` `(m(circuit) - m(corrupted)) / (m(model) - m(corrupted))`, 1 where the circuit does as the model
        and 0 where it does as if every edge were removed, None where these two agree; `no_meaning`, why that ratio has
        none, or None; `warnings`; and `predictions`, the most probable tokens on the first prompts.

    Reference:
        Hanna et al. 2024 (EAP-IG), section 2.2, for the normalisation.
    """
    graph, found = problem.graph, outcomes_of(problem, mask, complement=False)
    means = {name: {who: float(each.mean()) for who, each in group.items()} for name, group in found.values.items()}
    own = found.values[found.metric]
    return {
        "n_prompts": found.n_prompts,
        "n_edges": int(mask.sum()),
        "n_edges_of_model": graph.n_edges,
        "n_nodes": len(graph.node_names(mask)),
        **means,
        "metric": found.metric,
        "faithfulness": normalised(**means[found.metric]),
        "no_meaning": no_meaning(own["model"], own["corrupted"], rounding=found.rounding),
        "warnings": list(cautions(found)),
        "predictions": [asdict(each) for each in found.predictions],
    }
