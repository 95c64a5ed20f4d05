"""Rows of an attribution graph: what each node of the local replacement model adds to a feature or a logit.

    A[t, s] = a_s W_dec,s · J · W_enc,t

One backward pass gives a row: t's vector is put at what t reads, and what arrives at what s writes, times what s
writes, is the entry. Many passes are made at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.circuits.flow import sum_of_paths
from acdc.features.attribution_graphs.logits import Logits
from acdc.features.attribution_graphs.pace import Counted
from acdc.features.attribution_graphs.replacement import ActiveFeatures, LocalReplacement
from acdc.features.attribution_graphs.room import check_room
from acdc.metrics.answers import wide
from acdc.progress import Tell

__all__ = ["FeatureRows", "feature_rows"]

MOST_AT_ONCE = 256  # backward passes
BATCHES = 4  # of passes, after which features are ranked anew


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Rows of the logits and of the most influential features.

    Columns are all active features, by dictionary, position and index; then the errors, layer by layer; the tokens; and
    the logits, which nothing reads.

    Attributes:
        nodes: The column of each row's own node.
        features: Columns of the features that have a row, rising.
        influence: Of each column on the logits, as far as the rows tell.
    """

    weights: Float[np.ndarray, "row column"]
    nodes: Int[np.ndarray, " row"]
    features: Int[np.ndarray, " n"]
    influence: Float[np.ndarray, " column"]


def feature_rows(
    local: LocalReplacement, logits: Logits, *, most: int, memory: int, tell: Tell | None = None
) -> FeatureRows:
    """The rows of the logits, and of features in the order of their influence, as far as it is known by then.

    Args:
        most: At most so many features.
        memory: Bytes that backward passes may take at once.

    Raises:
        ModelError: The rows don't fit into the memory.
    """
    places = _places(local)
    n_features, n_logits = len(places), len(logits.tokens)
    n_rows = n_logits + min(most, n_features)
    n_columns = n_features + local.leaves[0][0, :, 0].numel() * len(local.leaves) + n_logits
    dtype = np.float64 if wide(local.final).dtype == torch.float64 else np.float32
    check_room(
        n_rows,
        n_columns,
        np.dtype(dtype).itemsize,
        "trace fewer features (max_features, --max-features) or a shorter prompt",
    )
    weights, nodes = np.zeros((n_rows, n_columns), dtype), np.zeros(n_rows, dtype=int)
    roots = np.zeros(n_columns)
    roots[-n_logits:] = logits.probabilities.cpu().numpy() / float(logits.probabilities.sum())
    weights[:n_logits, : n_columns - n_logits] = _backward(local, [local.final], [logits.vectors.to(local.final)])
    nodes[:n_logits] = np.arange(n_columns - n_logits, n_columns)
    done, at_once = n_logits, _at_once(local, memory)
    pending, reached = np.array([], dtype=int), np.zeros(n_columns)
    count = Counted(tell, "features", n_rows - n_logits)
    while done < n_rows:
        if not len(pending):
            reached = sum_of_paths(weights[:done], roots, nodes[:done])
            pending = _ranked(reached[:n_features], nodes[n_logits:done])[: min(BATCHES * at_once, n_rows - done)]
            pending.sort()  # neighbours read the same sites
        batch, pending = pending[:at_once], pending[at_once:]
        outputs, seeds = _seeds(local, places[batch])
        weights[done : done + len(batch), : n_columns - n_logits] = _backward(local, outputs, seeds)
        nodes[done : done + len(batch)] = batch
        done += len(batch)
        count(done - n_logits, share=(done - n_logits) / (n_rows - n_logits))
    reached = sum_of_paths(weights, roots, nodes)
    return FeatureRows(weights, nodes, np.sort(nodes[n_logits:]), reached)


def _places(local: LocalReplacement) -> Int[np.ndarray, "column 2"]:
    """Of each feature its dictionary, and its place in it."""
    return np.array([(i, j) for i, each in enumerate(local.features) for j in range(len(each.indices))]).reshape(-1, 2)


def _ranked(reached: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Features without a row, the most influential first."""
    order = np.argsort(-reached, kind="stable")
    return order[~np.isin(order, taken)]


def _at_once(local: LocalReplacement, memory: int) -> int:
    leaf = local.leaves[0]
    one = leaf.numel() * max(4, leaf.element_size()) * (2 * len(local.leaves) + 12)
    return max(1, min(MOST_AT_ONCE, memory // one))


def _seeds(local: LocalReplacement, places: Int[np.ndarray, "n 2"]) -> tuple[list[Tensor], list[Tensor]]:
    """What features read, and their vectors there: one site a dictionary."""
    outputs, seeds = list[Tensor](), list[Tensor]()
    for i in np.unique(places[:, 0]).tolist():
        which = np.nonzero(places[:, 0] == i)[0]
        features, chosen = local.features[i], torch.from_numpy(places[which, 1])
        read = local.read[features.dictionary.reads]
        seed = read.new_zeros(len(places), *read.shape)
        chosen = chosen.to(features.positions.device)
        seed[torch.from_numpy(which).to(read.device), 0, features.positions[chosen]] = features.vectors[chosen].to(read)
        outputs.append(read)
        seeds.append(seed)
    return outputs, seeds


def _backward(local: LocalReplacement, outputs: Sequence[Tensor], seeds: Sequence[Tensor]) -> np.ndarray:
    """A row for each seed, without the logits' columns.

    Args:
        seeds: Of each output, `[row, *its shape]`; of the final one `[row d_model]`.
    """
    seeds = [seed.view(len(seed), *output.shape) for seed, output in zip(seeds, outputs, strict=True)]
    found = torch.autograd.grad(
        list(outputs), local.leaves, list(seeds), is_grads_batched=True, retain_graph=True, allow_unused=True
    )
    n_rows, leaf = len(seeds[0]), local.leaves[0]
    arrived = [leaf.new_zeros(n_rows, *leaf.shape[1:]) if g is None else g[:, 0] for g in found]
    with torch.no_grad():
        embedded, *at_mlps = map(wide, arrived)
        parts = [_of_features(each, at_mlps) for each in local.features]
        parts += [(g * wide(error)).sum(-1) for g, error in zip(at_mlps, local.errors, strict=True)]
        parts.append((embedded * wide(leaf.detach()[0])).sum(-1))
        return torch.cat(parts, 1).cpu().numpy()


def _of_features(
    features: ActiveFeatures, at_mlps: Sequence[Float[Tensor, "row pos d_model"]]
) -> Float[Tensor, "row n"]:
    """What the features of a dictionary give, position after position."""
    counts = features.positions.bincount(minlength=at_mlps[0].shape[1]).tolist()
    found = [at_mlps[0].new_zeros(len(at_mlps[0]), len(features.indices))]
    for at, site in enumerate(features.dictionary.writes):
        g = at_mlps[site.layer]
        writes = (features.writes[:, at].to(g) * features.activations.to(g)[:, None]).split(counts)
        found.append(torch.cat([g[:, pos] @ rows.T for pos, rows in enumerate(writes)], 1))
    return torch.stack(found).sum(0)
