"""Blocks of prompts: what several processes share out, the same however many there are (`acdc.ranks`).

A block is as small as it can be without costing time: it has tokens enough to keep the device busy, and work enough
beside what Python and a message take. So a small model's prompts are one block. Their number is a power of 2, which as
many processes share evenly.
"""

from acdc.models import PatchableModel

__all__ = ["block_size"]

ELSEWHERE = 16  # times as many tokens keep a GPU busy
LEAST_WORK = 10**9  # multiplications of a forward pass: some hundredths of a second of a processor


def block_size(model: PatchableModel, n: int, n_pos: int, *, tokens: int) -> int:
    """How many of `n` prompts of `n_pos` tokens a block has; the last one may have fewer.

    Args:
        tokens: As many keep a processor busy: with fewer, matrix products read weights longer than they multiply.
    """
    per_token = 12 * model.graph.n_layers * model.graph.d_model**2
    least = tokens if model.device.type == "cpu" else ELSEWHERE * tokens
    most = max(1, min(n, n * n_pos // least, n * n_pos * per_token // LEAST_WORK))
    return -(-n // 2 ** (most.bit_length() - 1))
