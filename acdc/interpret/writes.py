"""What nodes write, in token space: the tokens whose logits a node's output raises and lowers most.

    u = mean over prompts of J (output - ablated output),    logits = W_U u - their mean over the vocabulary

at the target, where `J` is the final norm with its scale held at each prompt's real run. As with direct logit
attribution, it is the direct effect alone. Special tokens are left out, of the ranking and of the mean.

Reference: Elhage et al. 2021; Geva et al. 2022 (arXiv 2203.14680) for MLPs read through the unembedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import CircuitError
from acdc.interpret.readout import through_norm
from acdc.interpret.vocabulary import Ranked, ordinary_tokens, strongest_tokens
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache, NodeOutputs, run
from acdc.patching.attention import head_results
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NodeWrites", "node_writes", "writes_frame"]

TOP = 10


@dataclass(frozen=True)
class NodeWrites:
    """The tokens whose logits a node raises (`up`) and lowers (`down`) most, the strongest first, and by how much:
    relative to the mean token's, before a soft cap."""

    node: str
    up: Ranked
    down: Ranked


@torch.no_grad()
def node_writes(
    model: PatchableModel,
    batch: PromptBatch,
    nodes: Sequence[str],
    *,
    minus: NodeOutputs | None = None,
    cache: ActivationCache | None = None,
    top: int = TOP,
) -> tuple[NodeWrites, ...]:
    """What each of these nodes (`input`, heads, MLPs) writes at the targets, in the mean over the clean prompts.

    Args:
        minus: Outputs to take away, like `Problem.ablated.outputs`: what it writes on these prompts and not on their
            corrupted twins. By None nothing is, and what it writes on any text shows too.
        cache: The run, where it was made before, like `Problem.clean`.

    Raises:
        CircuitError: A node is not a source of the model.
        TaskError: A prompt doesn't fit the model.
        ModelError: The final norm's scale can't be held.
    """
    if unknown := [node for node in nodes if node not in model.graph.src_index]:
        raise CircuitError(f"{unknown[0]!r} writes nothing: it is no source of a graph of {model.graph.shape}")
    model.check_batch(batch)
    batch = batch.to(model.device)
    cache = cache or run(model, batch, batch.clean)
    ordinary, parts = ordinary_tokens(model), model.components
    found = []
    for node in nodes:
        written = _written(model, cache.outputs, node)
        written = written if minus is None else written - _written(model, minus, node)
        mean = through_norm(model, cache.final[:, -1], written).mean(0)
        logits = wide(mean.to(parts.unembed.dtype) @ parts.unembed.T) / parts.logit_divisor
        found.append(NodeWrites(node, *strongest_tokens(model, logits - logits[ordinary].mean(), top, ordinary)))
    return tuple(found)


def writes_frame(found: Sequence[NodeWrites]) -> "pd.DataFrame":
    """One row a node and token: `node`, `direction` (up or down), `rank`, `token`, `logit`."""
    import pandas as pd

    rows = [
        (each.node, direction, rank, token, logit)
        for each in found
        for direction, ranked in (("up", each.up), ("down", each.down))
        for rank, (token, logit) in enumerate(ranked, 1)
    ]
    return pd.DataFrame(rows, columns=["node", "direction", "rank", "token", "logit"])


def _written(model: PatchableModel, outputs: NodeOutputs, node: str) -> Float[Tensor, "batch d_model"]:
    """A node's output at the targets."""
    if node == "input":
        return wide(outputs.input[:, -1])
    layer = model.graph.layer_of(node)
    if node.startswith("m"):
        return wide(outputs.mlp[layer][:, -1])
    head = int(node.partition(".h")[2])
    return wide(head_results(model.components.blocks[layer].attention, outputs.z[layer][[head], :, -1], [head])[0])
