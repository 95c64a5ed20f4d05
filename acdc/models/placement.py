"""Where a model's parts lie: all on one device, or spread over several by accelerate, some of them on the disk.

Activations lie on one device, that of the unembedding. What meets a weight goes to where the weight lies and its
outcome comes back (`acdc.patching.attention` does so for the weights that it reads, `Placed` for modules that are
called). So each block computes where it lies, and the engines know nothing of it.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from acdc.errors import ModelError
from acdc.models.components import Attention, Block, ModelComponents
from acdc.models.family import Family
from acdc.models.offload import Offloaded, OffloadedBlocks, execution_device

__all__ = ["Placed", "read_placed"]


class Placed(nn.Module):
    """A module, or a function, that lies on another device than the activations."""

    def __init__(self, module: Any, device: torch.device) -> None:
        super().__init__()
        self.module, self.device = module, device

    def forward(self, *given: Tensor) -> Any:
        """What the module makes of its inputs, where the first of these lies."""
        home, made = given[0].device, self.module(*(x.to(self.device) for x in given))
        return tuple(x.to(home) for x in made) if isinstance(made, tuple) else made.to(home)


def read_placed(hf: Any, family: Family) -> ModelComponents:
    """The components of a model, wherever they lie.

    Raises:
        ModelError: The unembedding isn't in a device's memory.
    """
    components = family.read(hf)
    home = components.unembed.device
    places = {parameter.device for parameter in hf.parameters()}
    if home.type == "meta":
        raise ModelError(
            "the unembedding is kept on the disk, and every pass reads it; give it a device in device_map, like "
            "{'lm_head': 'cpu', ...}"
        )
    if places == {home}:
        return components
    blocks = OffloadedBlocks(hf, family.read, family.reads)
    tables: dict[int, Any] = {}  # layers share one, and tables are made once for each
    return replace(
        components,
        embed=_placed(components.embed, device_of(hf.get_input_embeddings(), home), home),
        ln_final=_placed(components.ln_final, device_of(components.ln_final, home), home),
        blocks=tuple(_block(block, layer, blocks, home, tables) for layer, block in enumerate(components.blocks)),
    )


def device_of(module: Any, default: torch.device) -> torch.device:
    """Where a module computes."""
    if isinstance(module, nn.Module):
        for part in module.modules():
            if (device := execution_device(part)) is not None:
                return device
            for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
                if tensor.device.type != "meta":
                    return tensor.device
    return default


def _placed(module: Any, device: torch.device, home: torch.device) -> Any:
    """The module as one that takes activations at home; parts that follow each other may lie apart."""
    if isinstance(module, nn.Sequential):
        return nn.Sequential(*(_placed(part, device_of(part, device), home) for part in module))
    return module if device == home else Placed(module, device)


def _block(block: Block, layer: int, blocks: OffloadedBlocks, home: torch.device, tables: dict[int, Any]) -> Block:
    there = blocks.device_of(layer) or block.attention.W_Q.device
    ln1, ln2, mlp = (_placed(part, device_of(part, there), home) for part in (block.ln1, block.ln2, block.mlp))
    return replace(
        block, attention=_attention(block.attention, layer, blocks, there, home, tables), ln1=ln1, ln2=ln2, mlp=mlp
    )


def _attention(
    attention: Attention,
    layer: int,
    blocks: OffloadedBlocks,
    there: torch.device,
    home: torch.device,
    tables: dict[int, Any],
) -> Attention:
    """The same, with what isn't multiplied with activations at home."""
    rotary = attention.rotary
    if rotary is not None:
        rotary = tables.setdefault(id(rotary), _placed(rotary, device_of(rotary, there), home))
    norms: dict[str, Any] = {
        name: tuple(_placed(norm, device_of(norm, there), home) for norm in getattr(attention, name))
        for name in ("q_norm", "k_norm")
    }
    attention = replace(attention, rotary=rotary, **norms)
    if blocks.device_of(layer) is not None:
        return Offloaded.of(attention, layer, blocks, home)
    return at_home(attention, home)


def at_home(attention: Attention, home: torch.device) -> Attention:
    """The same, with vectors that are added to activations, or multiplied with them, where these lie."""
    named = {name: getattr(attention, name) for name in ("b_O", "gain", "sinks")}
    moved: dict[str, Any] = {name: x.to(home) for name, x in named.items() if isinstance(x, Tensor)}
    return replace(attention, **moved)
