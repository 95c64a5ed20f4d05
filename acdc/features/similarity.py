"""Features that are alike: groups of them by their dictionary's weights, without any text.

    similarity(a, b) = max(cos(W_enc,a, W_enc,b), cos(W_dec,a, W_dec,b))

so two features are alike if they read nearly the same, or write nearly the same. Groups are joined, the most similar
first, as long as the mean similarity between the features of the two is at least a cut (average linkage). Directions of
independent features have cosines of about 1 / sqrt(d) in size; the default cut of .3 is three times that in 100
dimensions, and more in more.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from acdc.circuits.supernodes import Supernodes
from acdc.features.attribution_graphs import AttributionGraph
from acdc.features.circuits import FeatureCircuit
from acdc.features.dictionary import Dictionary
from acdc.options.defaults import ALIKE
from acdc.options.ranges import Range, checked

__all__ = ["alike", "alike_in_circuit", "alike_in_trace", "check_cut", "similarity"]

Member = tuple[Hashable, Dictionary, int, str]  # where it stands, its dictionary, which feature, the node's id


@torch.no_grad()
def similarity(dictionary: Dictionary, features: Sequence[int]) -> Float[np.ndarray, "k k"]:
    """How alike features of a dictionary are, in [-1, 1]; a direction of length 0 is like none."""
    index = torch.as_tensor(features, dtype=torch.long)
    read, written = (_cosines(rows) for rows in (dictionary.encoder[index], dictionary.decoder[index].flatten(1)))
    return np.maximum(read, written)


def _cosines(rows: Float[Tensor, "k d"]) -> Float[np.ndarray, "k k"]:
    unit = torch.nn.functional.normalize(rows.double().cpu(), dim=1)
    return np.asarray((unit @ unit.T).numpy())


def alike(dictionary: Dictionary, features: Sequence[int], cut: float = ALIKE) -> list[list[int]]:
    """Groups of at least two features that are alike, as places in `features`, in their order.

    Raises:
        RunError: The cut is not a number from 0 to 1.
    """
    check_cut(cut)
    if len(features) < 2:
        return []
    distance = 1 - similarity(dictionary, features)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False).clip(0), "average")
    found: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(fcluster(tree, 1 - cut + 1e-9, "distance")):  # a cut of 1: equal but for roundings
        found[int(group)].append(place)
    return sorted(group for group in found.values() if len(group) > 1)


def check_cut(cut: float) -> None:
    """Raise `RunError` unless the cut is a number from 0 to 1."""
    checked("alike", Annotated[float, Range(0, 1)], cut)


def alike_in_circuit(circuit: FeatureCircuit, dictionaries: Iterable[Dictionary], cut: float = ALIKE) -> Supernodes:
    """Features of one site and span that are alike, of those that edges join; a group is called by its strongest."""
    of_site, drawn = {str(each.writes[0]): each for each in dictionaries}, {node.id for node in circuit.graph().nodes}
    return _groups(
        (
            ((name.site, name.span), of_site[str(name.site)], name.index, str(name))
            for name in circuit.names
            if name.index is not None and str(name) in drawn and str(name.site) in of_site
        ),
        cut,
    )


def alike_in_trace(graph: AttributionGraph, dictionaries: Iterable[Dictionary], cut: float = ALIKE) -> Supernodes:
    """Features of one layer and token that are alike; a group is called by its most influential."""
    of_layer = {each.reads.layer: each for each in dictionaries}
    ranked = sorted(graph.nodes, key=lambda node: -node.influence)
    return _groups(
        (
            ((node.layer, node.position), of_layer[node.layer], node.index, node.id)
            for node in ranked
            if node.kind == "feature" and node.layer in of_layer
        ),
        cut,
    )


def _groups(members: Iterable[Member], cut: float) -> Supernodes:
    """By where members stand; the strongest first."""
    cells: dict[Hashable, list[Member]] = defaultdict(list)
    for member in members:
        cells[member[0]].append(member)
    found = []
    for cell in cells.values():
        features = [index for _, _, index, _ in cell]
        for group in alike(cell[0][1], features, cut):
            found.append((f"like {features[group[0]]}", *(cell[place][3] for place in group)))
    return tuple(found)
