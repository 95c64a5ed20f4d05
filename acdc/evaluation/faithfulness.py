"""How near a circuit comes to its model: every metric, of the full model, the circuit, and with every edge removed."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.metrics import METRICS, Metric, accuracy
from acdc.patching.problem import Problem
from acdc.prompts import PromptBatch

__all__ = ["measure"]

Logits = Float[Tensor, "batch vocab"]


def measure(problem: Problem, mask: Bool[Tensor, "src dst"]) -> dict[str, Any]:
    """The circuit's metrics on the problem's prompts.

    Three graphs are compared: `model` (all edges kept), `circuit`, and `corrupted` (none kept: every node runs on
    ablated inputs). Means over the prompts; metrics that need wrong answers are left out where a prompt has none.

    Returns:
        `n_prompts`, `n_edges`, `n_edges_of_model`, `n_nodes`; `accuracy` and each metric as
        `{"model", "circuit", "corrupted"}`; `metric`, the name of the problem's own; and its normalised `faithfulness`
        `(m(circuit) - m(corrupted)) / (m(model) - m(corrupted))`, 1 where the circuit does as the model and 0 where it
        does as if every edge were removed; None where these two agree.

    Reference:
        Hanna et al. 2024 (EAP-IG), section 2.2, for the normalisation.
    """
    graph, batch = problem.model.graph, problem.batch
    logits = {
        "model": problem.clean.logits.double(),
        "circuit": problem.logits(mask).double(),
        "corrupted": problem.logits(torch.zeros_like(mask)).double(),
    }
    chosen = problem.objective.metric
    metrics = {metric.name: metric for metric in (*METRICS.values(), chosen) if _is_defined(metric, batch)}
    means = {
        name: {who: _mean(metric, batch, x, logits["model"]) for who, x in logits.items()}
        for name, metric in metrics.items()
    }
    return {
        "n_prompts": batch.n,
        "n_edges": int(mask.sum()),
        "n_edges_of_model": graph.n_edges,
        "n_nodes": len(graph.node_names(mask)),
        "accuracy": {who: float(accuracy(x, batch.correct, batch.wrong).double().mean()) for who, x in logits.items()},
        **means,
        "metric": chosen.name,
        "faithfulness": _normalised(means[chosen.name]),
    }


def _is_defined(metric: Metric, batch: PromptBatch) -> bool:
    return not metric.needs_wrong or bool((batch.wrong >= 0).any(1).all())


def _mean(metric: Metric, batch: PromptBatch, logits: Logits, reference: Logits) -> float:
    return float(metric.function(logits, batch.correct, batch.wrong, reference).mean())


def _normalised(means: dict[str, float]) -> float | None:
    span = means["model"] - means["corrupted"]
    return (means["circuit"] - means["corrupted"]) / span if span else None
