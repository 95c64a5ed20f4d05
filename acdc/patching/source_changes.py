"""The computed sources' changes, `out_s - ablated_s`, side by side in one buffer, and what destinations read of them.

    x_d = ablated stream + Σ_s w[s, d] change_s

is taken for all destinations of a layer at once, by one matrix product: dense or, where few edges are kept, sparse.
"""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Changes", "Reader", "Scratch"]

SPARSE = 0.06  # with this share of edges kept the sparse product takes about as long as the dense one


class Scratch:
    """Memory under names, given out again and again, so that no pass waits for the system to clear it."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of this shape; what it holds is left over from its last use."""
        size = torch.Size(shape).numel()
        if name not in self._held or self._held[name].numel() < size:
            self._held[name] = like.new_empty(size)
        return self._held[name][:size].view(*shape)


class Changes:
    """Changes at a group of rows of the sources that a pass computes, in the order in which they come.

    Args:
        buffer: Where they are written; the first slot is the ablated stream's.
        weights: The share of each of these sources that each destination reads there, for all prompts or for each.
        stretches: The rows of each prompt: the first, and the one after the last.
    """

    def __init__(
        self,
        buffer: Float[Tensor, "slots rows d_model"],
        weights: Float[Tensor, "*batch src dst"],
        stretches: list[tuple[int, int]],
    ) -> None:
        self.buffer, self.stretches, self.filled = buffer, stretches, 1
        ones = weights.new_ones(*weights.shape[:-2], 1, weights.shape[-1])
        self.weights = torch.cat([ones, weights], -2)

    def set_stream(self, x: Float[Tensor, "rows d_model"]) -> None:
        """Say what is read with no edge kept."""
        self.buffer[0] = x

    def append(self, n: int) -> Float[Tensor, "n rows d_model"]:
        """Where the next n sources' changes are to be written."""
        self.filled += n
        return self.buffer[self.filled - n : self.filled]

    def reader(self, dsts: Sequence[int], start: int = 0) -> "Reader":
        """How these destinations read what is there by now, from the slot `start` on."""
        return Reader(self, dsts, slice(start, self.filled))


class Reader:
    """Some destinations' inputs, from some slots."""

    def __init__(self, changes: Changes, dsts: Sequence[int], slots: slice) -> None:
        self.changes, self.dsts, self.slots = changes, list(dsts), slots
        self.weights = _compact(changes.weights[..., slots, self.dsts].mT.contiguous())

    def read(self, first: int = 0, stop: int | None = None) -> Float[Tensor, "n rows d_model"]:
        """Those at the rows from `first` to `stop`."""
        block = self.changes.buffer[self.slots, first:stop]
        if self.weights.ndim == 2:
            return torch.mm(self.weights, block.flatten(1)).view(len(self.dsts), *block.shape[1:])
        x = block.new_empty(len(self.dsts), *block.shape[1:])
        for weights, (a, b) in zip(self.weights, self.changes.stretches, strict=True):
            x[:, a:b] = torch.mm(weights, block[:, a:b].flatten(1)).view(len(x), b - a, block.shape[-1])
        return x


def _compact(weights: Float[Tensor, "*batch dst src"]) -> Tensor:
    """The same, as a sparse matrix where few of the weights are other than 0."""
    if weights.device.type != "cpu":  # counting would wait for the device
        return weights
    if weights.ndim > 2 or weights.dtype.itemsize < 4 or int(weights.count_nonzero()) > SPARSE * weights.numel():
        return weights
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's sparse tensors may yet change
        return weights.to_sparse_csr()
