"""From a prompt and transcoders, or none, to its attribution graph."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from acdc.errors import RunError
from acdc.features.attribution_graphs.assembly import component_nodes, feature_nodes, finished, logit_nodes
from acdc.features.attribution_graphs.graph import AttributionGraph
from acdc.features.attribution_graphs.heads_and_mlps import component_rows
from acdc.features.attribution_graphs.logits import LOGITS, PROBABILITY, likely_logits
from acdc.features.attribution_graphs.replacement import check_transcoders, local_replacement
from acdc.features.attribution_graphs.rows import feature_rows
from acdc.features.dictionary import Dictionary
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.activations import run
from acdc.patching.gradient.rules import RULES, Rules, check_rules
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.prompts.tokens import pieces

__all__ = ["MAX_FEATURES", "trace"]

MAX_FEATURES = 7500
INFLUENCE = "adding up paths"


def trace(
    model: PatchableModel,
    prompt: str,
    dictionaries: Sequence[Dictionary] = (),
    *,
    max_features: int = MAX_FEATURES,
    max_logits: int = LOGITS,
    probability: float = PROBABILITY,
    mlps: bool = True,
    bos: bool | None = None,
    memory: int = MEMORY,
    progress: Progressing = None,
) -> AttributionGraph:
    """What adds what to a prompt's most probable next tokens: the whole graph; `.pruned()` gives what carries most.

    With transcoders its nodes are their features, what they miss (errors), tokens and logits; where a layer has none,
    its MLP is all error. Without any they are heads and MLPs at positions, tokens and logits.

    Args:
        dictionaries: Transcoders, per layer or cross-layer.
        max_features: At most so many features become nodes, in the order of their influence.
        max_logits, probability: Logits until they have so much probability together, at most so many.
        mlps: Without transcoders: whether MLPs read, or are constants (errors).
        bos: Whether a BOS token stands before the prompt; None: as the tokenizer does. What MLPs write at special
            tokens before the prompt is error: transcoders aren't trained there.
        memory: Bytes that backward passes may take at once.
        progress: True for a bar.

    Raises:
        ModelError: A dictionary is no transcoder of this model, a norm's scale can't be held, or the memory is too
            small.
        TaskError: The prompt is empty, or longer than the model's context.
        RunError: A number is out of its range.

    Reference: Ameisen et al. 2025, Circuit tracing: revealing computational graphs in language models.
    """
    _check(max_features, max_logits, probability)
    batch = text_batch([prompt], model.tokenizer, bos=bos, name="prompt")
    model.check_batch(batch)
    batch = batch.to(model.device)
    if dictionaries:
        check_transcoders(model, dictionaries)
    else:
        check_rules(model, RULES["relp"] if mlps else Rules(frozen_norms=True))
    with shown(progress) as tell:
        if not dictionaries:
            return _of_components(model, prompt, batch, max_logits, probability, mlps, memory, tell)
        local = local_replacement(model, batch, dictionaries, skipped=len(batch.before))
        logits = likely_logits(model, local.last, most=max_logits, probability=probability)
        found = feature_rows(local, logits, most=max_features, memory=memory, tell=tell)
        announce(tell, INFLUENCE)
        values = (local.final.detach() @ logits.vectors.to(local.final).T)[0] + logits.biases.to(local.final)
        nodes = [*feature_nodes(model, batch, local), *logit_nodes(model, batch, logits, values.tolist())]
        chosen = np.array([node.kind != "feature" for node in nodes], dtype=bool)
        chosen[found.features] = True
        whole = float(found.influence.sum())
        graph = AttributionGraph(
            prompt,
            tuple(pieces(model.tokenizer, batch.clean[0].tolist())),
            model.name,
            tuple(each.dictionary.name for each in local.features),
            tuple(nodes),
            found.nodes,
            found.weights,
            n_active=sum(len(each.indices) for each in local.features),
            n_traced=len(found.features),
            left_out=float(found.influence[~chosen].sum()) / whole if whole else 0.0,
            notes=_notes(model, batch, dictionaries),
        )
        return finished(graph, chosen)


def _of_components(
    model: PatchableModel,
    prompt: str,
    batch: PromptBatch,
    most: int,
    probability: float,
    mlps: bool,
    memory: int,
    tell: Tell | None,
) -> AttributionGraph:
    cache = run(model, batch, batch.clean)
    logits = likely_logits(model, cache.final[:, -1], most=most, probability=probability)
    found = component_rows(model, batch, cache, logits, mlps=mlps, memory=memory, tell=tell)
    values = dict(zip(found.nodes.tolist(), found.values.tolist(), strict=True))
    n_columns = found.weights.shape[1]
    nodes = [
        *component_nodes(model, batch, mlps),
        *logit_nodes(model, batch, logits, [values[i] for i in range(n_columns - len(logits.tokens), n_columns)]),
    ]
    nodes = [replace(node, value=values.get(i)) for i, node in enumerate(nodes)]
    tokens = tuple(pieces(model.tokenizer, batch.clean[0].tolist()))
    announce(tell, INFLUENCE)
    graph = AttributionGraph(prompt, tokens, model.name, (), tuple(nodes), found.nodes, found.weights)
    return finished(graph, np.ones(n_columns, dtype=bool))


def _check(max_features: int, max_logits: int, probability: float) -> None:
    for name, value in (("max_features", max_features), ("max_logits", max_logits)):
        if value < 1:
            raise RunError(f"{name} must be at least 1, not {value}")
    if not 0 < probability <= 1:
        raise RunError(f"probability must be above 0 and at most 1, not {probability:g}")


def _in_words(layers: Sequence[int]) -> str:
    """Layers in short.

    >>> _in_words([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7-8'
    """
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _notes(model: PatchableModel, batch: PromptBatch, dictionaries: Sequence[Dictionary]) -> tuple[str, ...]:
    written = {site.layer for each in dictionaries for site in each.writes}
    without = [layer for layer in range(model.graph.n_layers) if layer not in written]
    notes = []
    if without:
        layers = ("layers " if len(without) > 1 else "layer ") + _in_words(without)
        notes.append(f"no dictionary writes at the MLP of {layers}: there all that it writes is one error a position")
    if batch.before:
        notes.append(f"at {', '.join(batch.before)} before the prompt, what MLPs write is all error")
    return tuple(notes)
