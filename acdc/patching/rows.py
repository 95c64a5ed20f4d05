"""The positions that can change, of all prompts in one list: each is a row of every tensor of activations.

Rows come span after span, and in a span prompt after prompt. They are read and computed in groups:

| group | rows |
|---|---|
| 0 to `n_spans` - 1 | all of a span's: without spans, group 0 has all rows there are |
| `last` | each prompt's last position, which is in the last span |

So every row is in one span's group, and the last positions' are in one more.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.prompts.batch import PromptBatch

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """One row for each position of each prompt from the first on that can change, padding left out (fact 5).

    Attributes:
        first: Column of the batch before which nothing changes.
        batch: Number of prompts.
        width: Columns from `first` on.
        index: Where each row is among the `batch * width` positions of these columns.
        numbers: The row of each of these positions, -1 where there is none.
        bounds: The first row of each span, and how many rows there are.
    """

    first: int
    batch: int
    width: int
    index: Int[Tensor, " rows"]
    numbers: Int[Tensor, "batch width"]
    bounds: tuple[int, ...]

    @classmethod
    def of(cls, active: Bool[Tensor, "batch pos"], batch: PromptBatch, *, first: int | None = None) -> "Rows":
        """The rows of a batch in which `active` positions can change.

        Args:
            first: Column from which on positions are counted; by default that of the first that can change.
        """
        first = int(active.any(0).nonzero()[0]) if first is None else first
        changing = active[:, first:]
        n, width = changing.shape
        index = changing.flatten().nonzero()[:, 0]
        if batch.span_ids is None:
            bounds = (0, len(index))
        else:
            ids = batch.span_ids[:, first:].flatten()[index]
            index = index[ids.argsort(stable=True)]
            bounds = (0, *torch.bincount(ids, minlength=len(batch.spans)).cumsum(0).tolist())
        numbers = torch.full_like(changing.flatten(), -1, dtype=torch.long)
        numbers[index] = torch.arange(len(index), device=index.device)
        return cls(first, n, width, index, numbers.view(n, width), bounds)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def mask(self) -> Bool[Tensor, "batch width"]:
        """Which of the positions have a row."""
        return self.numbers >= 0

    @cached_property
    def at_last(self) -> Int[Tensor, " batch"]:
        """The row of each prompt's last position."""
        return self.numbers[:, -1]

    # groups

    @property
    def last(self) -> int:
        """The group of the last positions."""
        return len(self.bounds) - 1

    @property
    def groups(self) -> range:
        """All groups."""
        return range(len(self.bounds))

    def holding_last(self, group: int) -> bool:
        """Whether the last positions are among a group's rows."""
        return group >= self.last - 1

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many rows each group has."""
        return (*(stop - start for start, stop in zip(self.bounds, self.bounds[1:], strict=False)), self.batch)

    @cached_property
    def places(self) -> tuple[Int[Tensor, " rows"], ...]:
        """Where each group's rows are among the `batch * width` positions."""
        return (*self.index.split(self.sizes[:-1]), self.index[self.at_last])

    @cached_property
    def stretches(self) -> tuple[list[tuple[int, int]], ...]:
        """For each group the rows of each prompt, counted in the group: the first, and the one after the last."""
        found = []
        for places in self.places:
            counts = torch.bincount(places // self.width, minlength=self.batch).cumsum(0).tolist()
            found.append(list(zip([0, *counts[:-1]], counts, strict=True)))
        return tuple(found)

    def read(self, x: Float[Tensor, "*n rows d"], group: int) -> Float[Tensor, "*n rows_of_group d"]:
        """A group's rows of `x`, which has all rows, or all of the last span's, or these alone already."""
        n = x.shape[-2]
        if n == self.sizes[group]:
            return x
        if group < self.last:
            return x[..., self.bounds[group] : self.bounds[group + 1], :]
        return x[..., self.at_last if n == len(self) else self.at_last - self.bounds[-2], :]

    def write(self, x: Float[Tensor, "rows d"], value: Float[Tensor, "rows_of_group d"], group: int) -> None:
        """Overwrite a group's rows of `x`, which has all rows."""
        if group < self.last:
            x[self.bounds[group] : self.bounds[group + 1]] = value
        else:
            x[self.at_last] = value

    def add_last(self, x: Float[Tensor, "*n rows d"], value: Float[Tensor, "*n batch d"]) -> None:
        """Add to the last positions' rows of `x`, which has all of the last span's."""
        x[..., self.at_last - self.bounds[-2], :] += value

    # positions

    def pack(self, x: Float[Tensor, "*n batch pos d"]) -> Float[Tensor, "*n rows d"]:
        """The rows of something that all columns of the batch have; a copy."""
        return x[..., self.first :, :].flatten(-3, -2)[..., self.index, :]

    def unpack(
        self, rows: Float[Tensor, "n copies rows d"], old: Float[Tensor, "n batch width d"]
    ) -> Float[Tensor, "n copies batch width d"]:
        """All rows at their places in the columns from `first` on; `old` where no row is."""
        if not self.are_all:
            whole = old.flatten(1, 2)[:, None].repeat(1, rows.shape[1], 1, 1)
            rows = whole.index_copy_(2, self.index, rows)
        return rows.unflatten(2, (self.batch, self.width))

    @property
    def are_all(self) -> bool:
        """Whether rows are the positions, in their order."""
        return self.last == 1 and len(self) == self.batch * self.width

    def take(self, x: Float[Tensor, "*n positions d"], group: int) -> Float[Tensor, "*n rows_of_group d"]:
        """A group's rows among all `batch * width` positions."""
        return x if self.are_all and group < self.last else x[..., self.places[group], :]

    def columns(self, group: int) -> slice:
        """All columns, or the last one."""
        return slice(None) if group < self.last else slice(-1, None)
