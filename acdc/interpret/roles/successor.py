"""The successor head: having read Monday, it writes Tuesday."""

import torch

from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.words import orders
from acdc.interpret.roles.role import Role, Scores

__all__ = ["ROLE", "successor"]


def successor(evidence: Evidence) -> Scores:
    """Share of words s of an order for which the highest of the order's logits is that of the next word.

    Raises:
        Unmeasured: The tokenizer has no such words as single tokens.
    """
    model = evidence.model
    total, n = torch.zeros(model.graph.n_layers, model.graph.n_heads, dtype=torch.float64), 0
    for order in orders(model.tokenizer):
        ids = torch.tensor(order, device=model.device)
        for layer, logits in enumerate(evidence.value_circuits.logits(ids[:-1], ids)):
            after = torch.arange(1, len(order), device=logits.device)
            total[layer] += (logits.argmax(-1) == after).sum(-1).double().cpu()
        n += len(order) - 1
    return Scores(total / n)


ROLE = Role(
    name="successor",
    does="having read a word of an order (Monday, two), writes the next one, by its weights",
    evidence="weights",
    measure=successor,
    definition="share of numbers, days, months and letters s after which the next one has the highest of its order's "
    "logits if the head alone wrote, having read s",
    source="Gould et al. 2023, Successor heads (arXiv 2312.09230), section 2",
    cut=0.5,
    cut_source="ours: the paper takes the best head of a model",
)
