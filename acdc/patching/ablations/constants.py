"""One constant vector a source: as `NodeOutputs` without tokens, and as one long vector."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.patching.activations import NodeOutputs

__all__ = ["added", "from_vector", "sizes", "to_vector"]

# As `NodeOutputs`, `input` is [d_model], z [head d_head] and mlp [d_model].


def to_vector(constants: NodeOutputs) -> Float[Tensor, " numbers"]:
    """All numbers, source after source, in float64."""
    return torch.cat([x.double().flatten() for x in _in_order(constants)])


def from_vector(vector: Float[Tensor, " numbers"], like: NodeOutputs) -> NodeOutputs:
    """The constants of a vector, in the shapes and dtypes of others."""
    like_each = list(_in_order(like))
    parts = vector.split([x.numel() for x in like_each])
    first, *rest = (part.view_as(x).to(x) for part, x in zip(parts, like_each, strict=True))
    return NodeOutputs(first, tuple(rest[::2]), tuple(rest[1::2]))


def added(a: NodeOutputs, b: NodeOutputs) -> NodeOutputs:
    """The sums of two."""
    (first, *rest) = (x + y for x, y in zip(_in_order(a), _in_order(b), strict=True))
    return NodeOutputs(first, tuple(rest[::2]), tuple(rest[1::2]))


def sizes(constants: NodeOutputs) -> list[int]:
    """How many numbers each source has, in the order of the graph's sources."""
    return [x.shape[-1] for many in _in_order(constants) for x in (many if many.ndim == 2 else [many])]


def _in_order(constants: NodeOutputs) -> Iterator[Tensor]:
    yield constants.input
    for z, mlp in zip(constants.z, constants.mlp, strict=True):
        yield z
        yield mlp
