"""Which nodes write a label at the target: a linear probe of each node's own output there."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.interpret.labels import Labelled, labelled
from acdc.interpret.packages import need_scikit_learn
from acdc.interpret.probe_split import split_of
from acdc.interpret.probes import default_label, hits
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.patching.activations import NodeOutputs, run
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

__all__ = ["node_probes"]

AT_ONCE = 32  # prompts


def node_probes(
    train: PromptBatch, problem: Problem, nodes: Sequence[str], *, label: str | None = None, seed: int = SEED
) -> dict[str, float]:
    """How much better than the majority a probe of each node's output at the target is on held-out prompts.

    Args:
        train: The prompts that probes are fitted on; the problem's are those that they are tried on.
        label: As in `acdc.interpret.probes.probe`.

    Raises:
        TaskError: The prompts don't have the label, or share too few of its values.
        RunError: scikit-learn isn't installed.
    """
    need_scikit_learn()
    model = problem.model
    label = default_label(train, problem.batch, model.tokenizer) if label is None else label
    known, asked = (labelled(batch, label, model.tokenizer) for batch in (train, problem.batch))
    split = split_of(known, asked, seed=seed)
    fitted, tried = (_written(model, batch, each, nodes) for batch, each in ((train, known), (problem.batch, asked)))
    return {
        node: float(hits(fitted[node][split.train_rows], split.train, tried[node][split.test_rows], split.test).mean())
        - split.majority
        for node in nodes
    }


def _written(
    model: PatchableModel, batch: PromptBatch, known: Labelled, nodes: Sequence[str]
) -> dict[str, Float[Tensor, "prompt width"]]:
    """What each node writes at the target: a head in its own space, which says as much."""
    parts = [
        run(model, part, getattr(part, side)).outputs
        for side in known.sides
        for part in (batch.select(rows) for rows in torch.arange(batch.n).split(AT_ONCE))
    ]
    return {node: torch.cat([_output(model, each, node)[:, -1] for each in parts]) for node in nodes}


def _output(model: PatchableModel, outputs: NodeOutputs, node: str) -> Float[Tensor, "batch pos width"]:
    layer = model.graph.layer_of(node)
    return outputs.mlp[layer] if node.startswith("m") else outputs.z[layer][int(node.partition(".h")[2])]
