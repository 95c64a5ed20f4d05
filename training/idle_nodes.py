"""Heads and MLPs of compiled models that read and write what nobody reads: what a discovery method has to reject."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from compiling import MLP, Head, codes, equal
from torch import Tensor

__all__ = ["idle_heads", "idle_mlp"]

N_CLASSES = 5  # that they tell apart


def idle_heads(
    names: Sequence[str], reads: Sequence[str], sizes: Mapping[str, int]
) -> tuple[dict[str, Head], dict[str, int]]:
    """Heads that write into blocks of their own, which nobody reads, and the sizes of these blocks.

    They look, in turns, at the position before, at the first position, at the same word, and at all positions.

    Args:
        names: The heads.
        reads: The block that each copies from.
    """
    n_words, n_positions = sizes["word"], sizes["position"]
    looks: list[dict[str, Any]] = [
        {"q": "position", "k": "position", "score": equal([max(p - 1, 0) for p in range(n_positions)], n_positions)},
        {"q": "position", "k": "position", "score": equal([0] * n_positions, n_positions)},
        {"q": "word", "k": "word", "score": equal(range(n_words), n_words)},
        {},
    ]
    heads = {
        name: Head(v=read, write=f"idle {name}", value=_classes(sizes[read]), **looks[i % len(looks)])
        for i, (name, read) in enumerate(zip(names, reads, strict=True))
    }
    return heads, {head.write: N_CLASSES for head in heads.values()}


def idle_mlp(name: str, reads: Sequence[str], sizes: Mapping[str, int]) -> tuple[dict[str, MLP], dict[str, int]]:
    """An MLP that reads some blocks and writes into one of its own, and the size of that."""
    weights = {block: 2 * _classes(sizes[block]) for block in reads}
    mlp = MLP(weights, torch.zeros(N_CLASSES, dtype=torch.float64), f"idle {name}", codes(N_CLASSES))
    return {name: mlp}, {mlp.write: N_CLASSES}


def _classes(n: int) -> Tensor:
    """A code for each of n values, of which many share one."""
    return codes(N_CLASSES)[torch.arange(n) % N_CLASSES]
