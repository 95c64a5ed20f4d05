"""The positions that can change, of all prompts in one list: each is a row of every tensor of activations."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """One row for each position of each prompt from the first on that can change, padding left out (fact 5).

    What is read at all positions has all rows; what is read at the last position alone has one row a prompt. Such a
    choice is a flag `all_positions` in what follows.

    Attributes:
        first: Column of the batch before which nothing changes.
        batch: Number of prompts.
        width: Columns from `first` on.
        index: Where each row is among the `batch * width` positions of these columns.
        last: The row of each prompt's last position.
    """

    first: int
    batch: int
    width: int
    index: Int[Tensor, " rows"]
    last: Int[Tensor, " batch"]

    @classmethod
    def of(cls, active: Bool[Tensor, "batch pos"]) -> "Rows":
        """The rows of a batch in which `active` positions can change."""
        first = int(active.any(0).nonzero()[0])
        changing = active[:, first:]
        batch, width = changing.shape
        numbers = changing.flatten().cumsum(0) - 1
        return cls(first, batch, width, changing.flatten().nonzero()[:, 0], numbers.view(batch, width)[:, -1])

    def __len__(self) -> int:
        return len(self.index)

    @property
    def per_prompt(self) -> float:
        """Positions of a prompt that can change, in the mean."""
        return len(self) / self.batch

    def pack(self, x: Float[Tensor, "*n batch pos d"]) -> Float[Tensor, "*n rows d"]:
        """The rows of something that all columns of the batch have; a copy."""
        return x[..., self.first :, :].flatten(-3, -2)[..., self.index, :]

    def unpack(
        self, rows: Float[Tensor, "n copies rows d"], old: Float[Tensor, "n batch width d"], all_positions: bool
    ) -> Float[Tensor, "n copies batch width_or_1 d"]:
        """Rows at their places in the columns from `first` on; `old` where no row is."""
        if not all_positions:
            return rows.unsqueeze(3)
        if len(self) < self.batch * self.width:
            whole = old.flatten(1, 2)[:, None].repeat(1, rows.shape[1], 1, 1)
            rows = whole.index_copy_(2, self.index, rows)
        return rows.unflatten(2, (self.batch, self.width))

    def without_padding(self, x: Float[Tensor, "n copies positions d"]) -> Float[Tensor, "n copies rows d"]:
        """The rows among all `batch * width` positions."""
        return x[:, :, self.index] if len(self) < x.shape[2] else x

    def read(self, x: Float[Tensor, "*n rows d"], all_positions: bool) -> Float[Tensor, "*n rows_or_batch d"]:
        """All rows of `x`, or those of the last positions, if it isn't these alone."""
        return x if all_positions or x.shape[-2] == self.batch else x[..., self.last, :]

    def write(self, x: Float[Tensor, "rows d"], value: Float[Tensor, "rows_or_batch d"]) -> None:
        """Overwrite all rows of `x`, or those of the last positions, whichever `value` has."""
        if len(value) == len(x):
            x.copy_(value)
        else:
            x[self.last] = value

    @staticmethod
    def columns(all_positions: bool) -> slice:
        """All columns, or the last one."""
        return slice(None) if all_positions else slice(-1, None)
