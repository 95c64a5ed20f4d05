"""Blocks of prompts: what several processes share out, the same however many there are (`acdc.ranks`).

A block is as small as it can be without costing time: it has tokens enough to keep the device busy, and work enough
beside what Python and a message take. So a small model's prompts are one block. Their number is a power of 2, which as
many processes share evenly.
"""

from typing import Literal

from acdc.circuits.graph import Graph

__all__ = ["block_size"]

TOKENS = {  # of a block on a CPU: with fewer, matrix products read weights longer than they multiply
    "masked": 128,  # with 64 a pass takes a tenth longer (SmolLM2, 20 prompts)
    "gradient": 64,  # with 128 a pass takes a third longer, for it leaves the cache
}
ELSEWHERE = 16  # times as many keep a GPU busy
LEAST_WORK = 10**9  # multiplications of a forward pass: some hundredths of a second of a processor


def block_size(kind: Literal["masked", "gradient"], graph: Graph, n: int, n_pos: int, *, on_cpu: bool) -> int:
    """How many of `n` prompts of `n_pos` tokens a block has; the last one may have fewer.

    Args:
        kind: Of passes.
    """
    per_token = 12 * graph.n_layers * graph.d_model**2
    least = TOKENS[kind] * (1 if on_cpu else ELSEWHERE)
    most = max(1, min(n, n * n_pos // least, n * n_pos * per_token // LEAST_WORK))
    return -(-n // 2 ** (most.bit_length() - 1))
