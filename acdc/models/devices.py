"""Devices and number types by their names."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from acdc.errors import ModelError, nearest, printable
from acdc.options.defaults import DEVICE
from acdc.registry import Registry

__all__ = ["DTYPES", "OFFLOAD", "as_device", "as_dtype", "check_device_map"]

DEVICES = ("cpu", "cuda", "mps")
OFFLOAD = "offload"  # a device map: all but the blocks on the device, and these read one at a time
DTYPES = Registry(
    "dtype",
    {
        "float32": torch.float32,
        "float64": torch.float64,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    },
)


def as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The torch type of this name."""
    return dtype if isinstance(dtype, torch.dtype) else DTYPES.find(dtype)


def as_device(device: str) -> torch.device:
    """The torch device of this name, if this machine has it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason, meant = str(error).splitlines()[0], nearest(str(device).partition(":")[0], DEVICES)
        hint = f"; did you mean {meant!r}?" if meant and not str(device).startswith(meant) else ""
        raise ModelError(f"device {printable(str(device), 60)!r} can't be used here: {reason}{hint}") from error
    return found


def check_device_map(device_map: str | Mapping[str, Any] | None, device: str = DEVICE) -> None:
    """Raise `ModelError` unless this device map can be used here: before the weights are loaded."""
    if device_map is None:
        return
    if device != DEVICE and device_map != OFFLOAD:
        raise ModelError(f"give device ({device!r}) or device_map ({device_map!r}), not both")
    if find_spec("accelerate") is None:
        raise ModelError("device_map needs the package accelerate: pip install 'acdc-engine[large]', or give device")
