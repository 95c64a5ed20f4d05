"""How much memory a model and the activations of a batch take, and a refusal before work that can't fit.

    weights     = parameters x bytes a number
    activations = tokens x layers x (8 n_heads d_head + 2 n_kv d_head + 8 d_model) x bytes a number

The second line counts what the clean and ablated runs and a `CircuitState` hold (see docs/engine.md); what a search
stacks on top is bounded by its own `memory` option.
"""

from collections.abc import Iterable
from typing import Any

import psutil
import torch

from acdc.errors import ModelError
from acdc.options.defaults import MEMORY

__all__ = ["activation_bytes", "check_activations", "check_weights", "free_bytes", "weight_bytes"]

GIB = 2**30


def weight_bytes(config: Any, dtype: torch.dtype, trust_remote_code: bool = False) -> int:
    """Bytes of all parameters and buffers of a causal language model of this config; nothing is allocated for it."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    buffers = sum(buffer.numel() * buffer.itemsize for buffer in hf.buffers())  # like a mask of all pairs of positions
    return sum(parameter.numel() for parameter in hf.parameters()) * dtype.itemsize + buffers


def activation_bytes(
    *, n_layers: int, d_model: int, d_heads: int, d_kv: int, n_vocab: int, n: int, n_pos: int, dtype: torch.dtype
) -> int:
    """Bytes that the exact engine holds for a batch.

    Args:
        d_heads: `n_heads d_head`.
        d_kv: `n_kv d_head`.
        n: Prompts.
        n_pos: Columns of the longest.
    """
    per_token = n_layers * (8 * d_heads + 2 * d_kv + 8 * d_model) + 4 * d_model
    return n * (n_pos * per_token * dtype.itemsize + 4 * n_vocab * 8) + MEMORY


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a device still has; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    return int(psutil.virtual_memory().available)


def check_weights(name: str, needed: int, dtype: torch.dtype, devices: Iterable[torch.device]) -> None:
    """Refuse to load weights that don't fit into one of the devices that they pass through.

    Raises:
        ModelError: They don't; the message says what is needed, what is free, and what to do.
    """
    for device in devices:
        free = free_bytes(device)
        if free is not None and needed > free:
            narrow = "" if dtype.itemsize <= 2 else "dtype bfloat16 (half of float32), "
            raise ModelError(
                f"the weights of {name!r} take {_gib(needed)} in {str(dtype).removeprefix('torch.')}, and {device} has "
                f"{_gib(free)} free; use {narrow}a smaller model, or another device"
            )


def check_activations(name: str, needed: int, n: int, device: torch.device) -> None:
    """Refuse a batch whose activations don't fit.

    Raises:
        ModelError: They don't; the message says what is needed, what is free, and what to do.
    """
    free = free_bytes(device)
    if free is None or needed <= free:
        return
    room = (free - MEMORY) * n // max(1, needed - MEMORY)
    fewer = f"at most {room} prompts" if room > 0 else "shorter prompts"
    raise ModelError(
        f"the activations of {name!r} on {n} prompts take about {_gib(needed)}, and {device} has {_gib(free)} free; "
        f"use {fewer}, dtype bfloat16, or another device"
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
