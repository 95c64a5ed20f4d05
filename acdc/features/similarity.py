"""Features that are alike: groups of them, made without a reader.

    similarity(a, b) = max(cos(W_enc,a, W_enc,b), cos(W_dec,a, W_dec,b), cos(f_a, f_b))

with f a feature's activations on some prompts' tokens, where there are any: two features are alike if they read nearly
the same, write nearly the same, or fire together. Groups are joined, the most similar first, as long as the mean
similarity between the features of the two is at least a cut (average linkage). Directions of independent features have
cosines of about 1 / sqrt(d) in size; the default cut of .3 is three times that in 100 dimensions, and more in more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from acdc.circuits.supernodes import Supernodes
from acdc.features.attribution_graphs import AttributionGraph, Node
from acdc.features.circuits import FeatureCircuit, NodeName
from acdc.features.circuits.masks import token_groups
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureRuns
from acdc.features.dictionary import Dictionary
from acdc.features.site_values import behind_first
from acdc.features.sites import Site
from acdc.options.defaults import ALIKE
from acdc.options.ranges import Range, checked
from acdc.patching.problem import Problem

__all__ = ["alike", "alike_in_circuit", "alike_in_trace", "check_cut", "similarity"]


@torch.no_grad()
def similarity(
    dictionary: Dictionary, features: Sequence[int], activations: Float[Tensor, "k tokens"] | None = None
) -> Float[np.ndarray, "k k"]:
    """How alike features of a dictionary are, in [-1, 1]; a direction of length 0 is like none.

    Args:
        activations: Theirs on some tokens; None: their weights alone count.
    """
    index = torch.as_tensor(features, dtype=torch.long)
    rows = [dictionary.encoder[index], dictionary.decoder[index].flatten(1)]
    rows += [] if activations is None else [activations]
    return np.maximum.reduce([_cosines(each) for each in rows])


def _cosines(rows: Float[Tensor, "k d"]) -> Float[np.ndarray, "k k"]:
    unit = torch.nn.functional.normalize(rows.double().cpu(), dim=1)
    return np.asarray((unit @ unit.T).numpy())


def alike(
    dictionary: Dictionary,
    features: Sequence[int],
    cut: float = ALIKE,
    activations: Float[Tensor, "k tokens"] | None = None,
) -> list[list[int]]:
    """Groups of at least two features that are alike, as places in `features`, in their order.

    Raises:
        RunError: The cut is not a number from 0 to 1.
    """
    check_cut(cut)
    if len(features) < 2:
        return []
    distance = 1 - similarity(dictionary, features, activations)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False).clip(0), "average")
    found: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(fcluster(tree, 1 - cut + 1e-9, "distance")):  # a cut of 1: equal but for roundings
        found[int(group)].append(place)
    return sorted(group for group in found.values() if len(group) > 1)


def check_cut(cut: float) -> None:
    """Raise `RunError` unless the cut is a number from 0 to 1."""
    checked("alike", Annotated[float, Range(0, 1)], cut)


def alike_in_circuit(
    circuit: FeatureCircuit, dictionaries: Sequence[Dictionary], cut: float = ALIKE, problem: Problem | None = None
) -> Supernodes:
    """Features of one site and span that are alike, of those that edges join; a group is called by its strongest.

    Args:
        problem: Its clean prompts are those on which features fire together, at a node's span; None: weights alone
            count.
    """
    drawn = {node.id for node in circuit.graph().nodes}
    names = [name for name in circuit.names if name.index is not None and str(name) in drawn]
    fired = {} if problem is None else _activations(problem, dictionaries, names)
    cells: dict[tuple[Site, str], list[NodeName]] = defaultdict(list)
    for name in names:
        cells[name.site, name.span].append(name)
    of_site = {each.writes[0]: each for each in dictionaries}
    found = list[tuple[str, ...]]()
    for (site, _), members in cells.items():
        acts = torch.stack([fired[name] for name in members]) if fired else None
        indices = [name.index for name in members if name.index is not None]
        found += _named(indices, list(map(str, members)), alike(of_site[site], indices, cut, acts))
    return tuple(found)


@torch.no_grad()
def _activations(
    problem: Problem, dictionaries: Sequence[Dictionary], names: Sequence[NodeName]
) -> dict[NodeName, Float[Tensor, " tokens"]]:
    """What each node's feature is at each token of the clean prompts; 0 outside of its span, and at first tokens, where
    models park attention and features fire for no reason of theirs."""
    runs = FeatureRuns(problem, Placed.on(problem.model, dictionaries))
    row_of = {span: row for row, span in enumerate(problem.batch.spans)}
    found: dict[NodeName, list[Tensor]] = defaultdict(list)
    for piece in runs.pieces:
        groups, real = token_groups(piece.batch), behind_first(piece.batch)
        for site, clean in zip(runs.placed.sites, runs.clean(piece), strict=True):
            for name in names:
                if name.site == site:
                    here = real & (groups == row_of[name.span]) if name.span else real
                    found[name].append((clean.features[..., name.index] * here).flatten().cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def alike_in_trace(graph: AttributionGraph, dictionaries: Iterable[Dictionary], cut: float = ALIKE) -> Supernodes:
    """Features of one layer and token that are alike by their weights, a group called by its most influential: at one
    token all of them fire together."""
    of_layer = {each.reads.layer: each for each in dictionaries}
    cells: dict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: -node.influence):
        if node.kind == "feature" and node.layer in of_layer:
            cells[node.layer, node.position].append(node)
    found = list[tuple[str, ...]]()
    for (layer, _), members in cells.items():
        indices = [node.index for node in members]
        found += _named(indices, [node.id for node in members], alike(of_layer[layer], indices, cut))
    return tuple(found)


def _named(indices: Sequence[int], ids: Sequence[str], groups: Iterable[list[int]]) -> Iterator[tuple[str, ...]]:
    """By their first members."""
    for group in groups:
        yield (f"like {indices[group[0]]}", *(ids[place] for place in group))
