"""Blocks that are kept on the CPU or the disk by accelerate, and read one at a time.

Modules that are called (norms, MLPs) are brought in by accelerate's own hooks, and put away again. Attention's weights
are read and never called, so they are brought in here: when one of a layer's is asked for, all of that layer's are,
and those of the layer before are let go.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acdc.models.bypassed import modules_read
from acdc.models.components import Attention, ModelComponents
from acdc.models.memory import free_bytes

__all__ = ["Offloaded", "OffloadedBlocks", "execution_device", "is_offloaded", "loaded_weight", "offload_map"]

TENSORS = frozenset({"W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "sinks", "gain"})


class OffloadedBlocks:
    """What reads the attention of blocks that are kept elsewhere.

    Args:
        read: The family's declaration.
        reads: How the names of the modules end whose weights are read.
    """

    def __init__(self, hf: Any, read: Callable[[Any], ModelComponents], reads: tuple[str, ...]) -> None:
        self._hf, self._read = hf, read
        self._modules = dict[int, list[tuple[str, nn.Module]]]()
        self._held: tuple[int, Attention] | None = None
        for name, module in hf.named_modules():
            if (layer := _layer_of(name)) is not None and any(p.is_meta for p in module.parameters(recurse=False)):
                self._modules.setdefault(layer, []).append((name, module))
        around = {""}
        for name, _ in modules_read(hf, reads):
            around |= {name[:i] for i, letter in enumerate(name) if letter == "."} | {name}
        self._modules = {
            layer: [(name, module) for name, module in parts if name in around]
            for layer, parts in self._modules.items()
        }

    def device_of(self, layer: int) -> torch.device | None:
        """Where a layer's attention computes; None unless its weights are kept elsewhere."""
        parts = self._modules.get(layer)
        return execution_device(parts[0][1]) if parts else None

    def attention(self, layer: int) -> Attention:
        """A layer's attention with its weights; those of the one before are let go."""
        if self._held is None or self._held[0] != layer:
            self._held = None
            self._held = layer, self._loaded(layer)
        return self._held[1]

    @torch.no_grad()
    def _loaded(self, layer: int) -> Attention:
        away = [(module, key, p) for _, module in self._modules[layer] for key, p in module._parameters.items()]
        try:
            for name, module in self._modules[layer]:
                device = execution_device(module)
                for key, parameter in module._parameters.items():
                    if parameter is not None and parameter.is_meta:
                        value = loaded_weight(self._hf, f"{name}.{key}", parameter).to(device, parameter.dtype)
                        module._parameters[key] = nn.Parameter(value, requires_grad=False)
            return self._read(self._hf).blocks[layer].attention
        finally:
            for module, key, parameter in away:
                module._parameters[key] = parameter


class Source(NamedTuple):
    """Where a layer's attention is read from, and where activations lie."""

    layer: int
    blocks: OffloadedBlocks
    home: torch.device


@dataclass(frozen=True)
class Offloaded(Attention):
    """Attention whose weights are read when they are asked for: of its own it has their shapes alone."""

    source: Source = field(kw_only=True)

    @classmethod
    def of(cls, attention: Attention, layer: int, blocks: OffloadedBlocks, home: torch.device) -> "Offloaded":
        """The same attention."""
        own = {each.name: getattr(attention, each.name) for each in fields(Attention)}
        return cls(**own, source=Source(layer, blocks, home))

    def __post_init__(self) -> None:
        for name in TENSORS:  # `replace` gives weights that were read
            if isinstance(value := object.__getattribute__(self, name), Tensor):
                object.__setattr__(self, name, value.to("meta"))

    def __getattribute__(self, name: str) -> Any:
        if name not in TENSORS:
            return object.__getattribute__(self, name)
        layer, blocks, home = object.__getattribute__(self, "source")
        value = getattr(blocks.attention(layer), name)
        return value.to(home) if name in ("b_O", "sinks", "gain") and isinstance(value, Tensor) else value

    @property
    def n_heads(self) -> int:
        """Number of query heads."""
        return len(object.__getattribute__(self, "W_Q"))

    @property
    def group(self) -> int:
        """Query heads that share a key and a value head."""
        return self.n_heads // len(object.__getattribute__(self, "W_K"))


def execution_device(module: nn.Module) -> torch.device | None:
    """Where accelerate brings a module's weights when it is called; None of a module whose weights stay."""
    for hook in _hooks(module):
        if hook.offload:
            device = hook.execution_device
            return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return None


def is_offloaded(hf: Any) -> bool:
    """Whether some of a model's weights are kept elsewhere."""
    return any(parameter.is_meta for parameter in hf.parameters())


def offload_map(hf: Any, device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """A device map that puts all but the blocks on a device: these go where they are read from, one at a time.

    That is the CPU's memory, if they fit there and it isn't what is to be spared, and else the disk.

    Args:
        hf: The model, without its weights.
    """
    layers = next(
        name
        for name, module in hf.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == hf.config.get_text_config().num_hidden_layers
    )
    size = sum(parameter.numel() for parameter in hf.get_submodule(layers).parameters()) * dtype.itemsize
    room = free_bytes(torch.device("cpu"))
    place = "cpu" if device.type != "cpu" and room is not None and size < room else "disk"
    own = {name for name, module in hf.named_modules() if any(True for _ in _tensors(module))}
    beside = {name: str(device) for name in own if not f"{name}.".startswith(f"{layers}.")}
    return {**beside, layers: place}


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def loaded_weight(hf: Any, name: str, parameter: Tensor) -> Tensor:
    """A parameter, or a buffer, with its numbers, wherever they are kept."""
    if not parameter.is_meta:
        return parameter
    place, _, key = name.rpartition(".")
    maps = [hook.weights_map for hook in _hooks(hf.get_submodule(place)) if hook.weights_map is not None]
    return maps[0][key]


def _hooks(module: nn.Module) -> list[Any]:
    """The hooks of accelerate on a module."""
    hook = getattr(module, "_hf_hook", None)
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))


def _layer_of(name: str) -> int | None:
    number = re.search(r"\.(\d+)(\.|$)", name)
    return None if number is None else int(number[1])
