"""A device that isn't there: tensors that say they lie on it, and operations that refuse to mix it with the CPU.

A tensor of `on(x, FAR)` holds its numbers on the CPU and reports another device. Within `VirtualDevices` every
operation on such tensors is computed as it is, its result lies where its operands lie, and operands of two devices
raise as they would on a machine that has both. So the placing of a model is tested without a second device.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["FAR", "VirtualDevices", "moved", "numbers", "on"]

backend_registration._setup_privateuseone_for_python_backend("far")
FAR = torch.device("far:0")
CPU = torch.device("cpu")
MAY_MIX = ("index", "index_put", "index_put_")  # indices may lie on the CPU


class _Virtual(Tensor):
    """A tensor that says it lies elsewhere."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> "_Virtual":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
            requires_grad=False,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _computed(function, args, kwargs or {})

    def tolist(self) -> Any:
        """The numbers, which torch gives of no other class's tensors."""
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"{self.held!r} on {self.device}"


def on(x: Tensor, device: torch.device) -> Tensor:
    """The same numbers on a virtual device."""
    return _Virtual(x.detach(), device)


def numbers(x: Tensor) -> Tensor:
    """The numbers of a tensor, wherever it lies."""
    return x.held if isinstance(x, _Virtual) else x


def moved(module: nn.Module) -> None:
    """Put a module's parameters and buffers on the far device."""
    for part in module.modules():
        for key, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[key] = nn.Parameter(on(parameter, FAR), requires_grad=False)
        for key, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[key] = on(buffer, FAR)


class VirtualDevices(TorchDispatchMode):
    """Within it, tensors can be made on the far device and moved there, in backward passes too."""

    def __enter__(self) -> "VirtualDevices":
        self._one_thread = torch.autograd.set_multithreading_enabled(False)  # another thread would know nothing of this
        self._one_thread.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._one_thread.__exit__(*error)

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _computed(function, args, kwargs or {})


def _computed(function: Any, args: tuple, kwargs: dict) -> Any:
    name = function._schema.name.removeprefix("aten::")
    place = _place(name, args, kwargs)
    wanted = kwargs.get("device")
    if wanted is not None:
        place, kwargs = torch.device(wanted), {**kwargs, "device": CPU}
    made = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    if name.endswith("_") and not name.startswith("_"):  # in place: the first operand itself
        return args[0]
    return tree_map(lambda x: _Virtual(x, place) if isinstance(x, Tensor) and place != CPU else x, made)


def _empty(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return _Virtual(torch.empty_strided(size, stride, dtype=dtype), FAR)


def _copied(x: Any, source: Tensor, non_blocking: bool = False) -> Any:
    _held(x).copy_(_held(source))
    return x


KERNELS = torch.library.Library("aten", "IMPL")  # what torch's own indexing by lists calls, below all modes
KERNELS.impl("empty_strided", _empty, "PrivateUse1")
KERNELS.impl("copy_", _copied, "PrivateUse1")


def _held(x: Any) -> Any:
    return x.held if isinstance(x, _Virtual) else x


def _place(name: str, args: tuple, kwargs: dict) -> torch.device:
    """Where the operands lie; numbers without dimensions on the CPU go with any."""
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    if name in ("_to_copy", "copy_") or name in MAY_MIX:
        first = tensors[0].device
        others = [x.device for x in tensors[1:] if name in MAY_MIX and x.device != CPU]
        if any(device != first for device in others):
            raise RuntimeError(f"{name}: operands on {first} and {others}")
        return first
    places = {x.device for x in tensors if x.ndim or x.device != CPU}
    if len(places) > 1:
        raise RuntimeError(f"{name}: operands on {' and '.join(sorted(map(str, places)))}")
    return next(iter(places), CPU)
