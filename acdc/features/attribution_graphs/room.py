"""A refusal before rows are made that can't fit into the memory."""

import torch

from acdc.errors import ModelError
from acdc.models.memory import free_bytes, gib

__all__ = ["COPIES", "check_room"]

COPIES = 3  # of the rows: themselves, in the nodes' order, and what is made of a few at a time


def check_room(n_rows: int, n_columns: int, itemsize: int, remedy: str) -> None:
    """Raise `ModelError` unless there is room for so many rows, while they are worked on.

    Args:
        remedy: What to do then.
    """
    needed, free = n_rows * n_columns * itemsize * COPIES, free_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise ModelError(
            f"an attribution graph of {n_rows:,} rows and {n_columns:,} nodes takes {gib(needed)}, and {gib(free)} are "
            f"free; {remedy}"
        )
