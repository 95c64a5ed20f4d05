"""HISP: importance of heads (and MLPs) for pruning, gradient times activation (Michel et al. 2019).

    score[s] = mean over prompts of | Σ_p a_s[p] · ∂loss/∂out_s[p] |

with the node's own output a_s = out_s (`times="activation"`, as published) or with what ablation would change,
a_s = ablated_s - clean_s (`times="change"`, as the ACDC paper does to compare on corrupted prompts). Scores have no
sign. Edges get the score of the weaker of their two ends. It fails as every first-order score at the clean run does,
and counts a node whose effects cancel over prompts as important.

References: Michel, Levy, Neubig 2019 (arXiv 1905.10650), eq. 2; Conmy et al. 2023 (arXiv 2304.14997), appendix.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap import at_clean, noting
from acdc.discovery.attribution.nodes import lift
from acdc.discovery.attribution.scores import EdgeScores, check_gradient
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.activations import NodeOutputs
from acdc.patching.gradient.attribution import node_effects
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.rules import RulesName, get_rules
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "hisp"]


def hisp(
    problem: Problem,
    *,
    times: Literal["activation", "change"] = "activation",
    normalise: bool = False,
    rules: RulesName | None = None,
    memory: Bytes = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every node by the mean size of its gradient times its activation.

    Args:
        times: What the gradient is multiplied with: activation (the node's output) or change (ablated minus clean).
        normalise: Divide the scores of a layer's nodes by their Euclidean norm, as Michel et al. do.
        rules: Backward rules in place of derivatives: gim, relp or attnrlp, in as many passes. With relp or attnrlp and
            activations the importance of a node is its relevance.
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.

    Raises:
        RunError: The metric is flat at the clean run.
        ModelError: The rules don't know a part of the model.
    """
    check_gradient(problem.objective.metric, "hisp")
    change = _activation if times == "activation" else _change
    note, by = noting(progress, "gradients"), get_rules(rules)
    effects = node_effects(problem, at_clean, change=change, rules=by, memory=memory, note=note)
    importance = effects.abs().mean(0)
    graph = problem.graph
    importance = _normalised(graph, importance) if normalise else importance
    return EdgeScores(lift(graph, importance), "importance", {"forward_passes": 2, "backward_passes": 1})


def _activation(microbatch: Microbatch) -> NodeOutputs:
    return microbatch.clean_outputs


def _change(microbatch: Microbatch) -> NodeOutputs:
    return microbatch.change


def _normalised(graph: Graph, importance: Float[Tensor, " site"]) -> Float[Tensor, " site"]:
    """Divided by the norm of the layer."""
    of_input, rest = importance.split([graph.n_spans, len(importance) - graph.n_spans])
    layers = rest.view(graph.n_layers, -1)
    return torch.cat([of_input, torch.nn.functional.normalize(layers, dim=1).flatten()])


METHOD = Method(
    "hisp",
    "gradient times activation of nodes",
    "Michel et al. 2019",
    Scored(hisp),
    at_clean=True,
    noising_only=True,
)
