"""How much memory a model's weights take, how much there is, and a refusal before weights that can't fit are read.

What a run stacks on top is counted in `acdc.patching.footprint`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import psutil
import torch

from acdc.errors import ModelError

__all__ = ["PROGRAM", "check_weights", "free_bytes", "gib", "held_bytes", "weight_bytes", "without_weights"]

GIB = 2**30
PROGRAM = 430 * 2**20  # bytes of Python, torch, transformers and a tokenizer, as measured


def without_weights(config: Any, trust_remote_code: bool = False) -> Any:
    """A causal language model of this config whose parameters hold nothing."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


def weight_bytes(config: Any, dtype: torch.dtype, trust_remote_code: bool = False) -> int:
    """Bytes of all parameters and buffers of a causal language model of this config; nothing is allocated for it."""
    hf = without_weights(config, trust_remote_code)
    buffers = sum(buffer.numel() * buffer.itemsize for buffer in hf.buffers())  # like a mask of all pairs of positions
    return sum(parameter.numel() for parameter in hf.parameters()) * dtype.itemsize + buffers


def held_bytes(hf: Any, device: torch.device) -> int:
    """Bytes of a live model's parameters and buffers on a device; of layers that are kept elsewhere, one's."""
    held = {
        t.untyped_storage()._cdata: t.numel() * t.itemsize
        for t in (*hf.parameters(), *hf.buffers())
        if t.device == device
    }
    away = Counter[str]()
    for name, parameter in hf.named_parameters():
        if parameter.is_meta and device.type != "meta":
            layer = re.search(r"\.(\d+)\.", name)
            away[layer[1] if layer else ""] += parameter.numel() * parameter.itemsize
    return sum(held.values()) + max(away.values(), default=0)


def free_bytes(device: torch.device, *, own: bool = False) -> int | None:
    """Bytes that a device still has; None where nothing tells.

    Args:
        own: Count what this process has taken already as free.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + (torch.cuda.memory_reserved(device) if own else 0)
    if device.type != "cpu":
        return None
    return int(psutil.virtual_memory().available) + (psutil.Process().memory_info().rss if own else 0)


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
                f"the weights of {name!r} take {gib(needed)} in {str(dtype).removeprefix('torch.')}, and {device} has "
                f"{gib(free)} free; use {narrow}a smaller model, or another device"
            )


def gib(size: int) -> str:
    """So many bytes in words.

    >>> gib(3 * 2**29)
    '1.5 GiB'
    """
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
