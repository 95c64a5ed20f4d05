"""The slow and obvious oracle of node patching: forward hooks on the unmodified Hugging Face model, a run a cell."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

from acdc.models import PatchableModel


class Spot(NamedTuple):
    """Where an activation can be read and replaced: a module's input or output, and the part of it."""

    module: nn.Module
    output: bool
    part: Callable[[Tensor], Tensor] = lambda x: x  # a view


def spot(model: PatchableModel, site: str, layer: int, head: int = 0) -> Spot:
    """The place of a site in a family's own modules."""
    return {"gpt2": _gpt2, "neox-parallel": _neox, "llama-gqa": _llama, "gemma2": _gemma2}[model.name](
        model, site, layer, head
    )


def _columns(first: int, width: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[..., first : first + width]


def _gpt2(model: PatchableModel, site: str, layer: int, head: int) -> Spot:
    transformer, d = model.hf.transformer, model.graph.d_model
    if layer == model.graph.n_layers:
        return Spot(transformer.ln_f, False)
    block, width = transformer.h[layer], d // model.graph.n_heads
    if site in "qkv":
        return Spot(block.attn.c_attn, True, _columns("qkv".index(site) * d + head * width, width))
    return {
        "resid_pre": Spot(block, False),
        "attn_out": Spot(block.attn.c_proj, True),
        "mlp_out": Spot(block.mlp, True),
        "z": Spot(block.attn.c_proj, False, _columns(head * width, width)),
    }[site]


def _neox(model: PatchableModel, site: str, layer: int, head: int) -> Spot:
    if layer == model.graph.n_layers:
        return Spot(model.hf.gpt_neox.final_layer_norm, False)
    block, width = model.hf.gpt_neox.layers[layer], model.graph.d_model // model.graph.n_heads
    if site in "qkv":
        return Spot(block.attention.query_key_value, True, _columns((3 * head + "qkv".index(site)) * width, width))
    return {
        "resid_pre": Spot(block, False),
        "attn_out": Spot(block.attention.dense, True),
        "mlp_out": Spot(block.mlp, True),
        "z": Spot(block.attention.dense, False, _columns(head * width, width)),
    }[site]


def _llama(model: PatchableModel, site: str, layer: int, head: int) -> Spot:
    inner = model.hf.model
    if layer == model.graph.n_layers:
        return Spot(inner.norm, False)
    block = inner.layers[layer]
    width = block.self_attn.head_dim
    if site in "qkv":
        return Spot(getattr(block.self_attn, f"{site}_proj"), True, _columns(head * width, width))
    return {
        "resid_pre": Spot(block, False),
        "attn_out": Spot(block.self_attn.o_proj, True),
        "mlp_out": Spot(block.mlp, True),
        "z": Spot(block.self_attn.o_proj, False, _columns(head * width, width)),
    }[site]


def _gemma2(model: PatchableModel, site: str, layer: int, head: int) -> Spot:
    if layer < model.graph.n_layers:
        block = model.hf.model.layers[layer]
        changed = {
            "attn_out": Spot(block.post_attention_layernorm, True),
            "mlp_out": Spot(block.post_feedforward_layernorm, True),
        }
        if site in changed:
            return changed[site]
    return _llama(model, site, layer, head)


def with_own_keys(model: PatchableModel) -> PatchableModel:
    """The same function with a copy of the shared keys and values for each query head, as our graph reads it."""
    config = copy.deepcopy(model.hf.config)
    group = config.num_attention_heads // config.num_key_value_heads
    config.num_key_value_heads = config.num_attention_heads
    state = dict(model.hf.state_dict())
    for name, value in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            width = model.hf.model.layers[0].self_attn.head_dim
            state[name] = value.unflatten(0, (-1, width)).repeat_interleave(group, 0).flatten(0, 1)
    hf = transformers.AutoModelForCausalLM.from_config(config).eval().to(model.dtype)
    hf.load_state_dict(state)
    return PatchableModel(hf, model.tokenizer, name=model.name)


@contextmanager
def hooked(place: Spot, function: Callable[[Tensor], None]) -> Iterator[None]:
    """`function` may change the activation in place."""

    def change(x: Any) -> Any:
        first = (x[0] if isinstance(x, tuple) else x).clone()
        function(place.part(first))
        return (first, *x[1:]) if isinstance(x, tuple) else first

    def before(module: nn.Module, args: tuple, kwargs: dict) -> Any:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": change(kwargs["hidden_states"])}

    def after(module: nn.Module, args: tuple, output: Any) -> Any:
        return change(output)

    handle = (
        place.module.register_forward_hook(after)
        if place.output
        else place.module.register_forward_pre_hook(before, with_kwargs=True)
    )
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def logits(model: PatchableModel, ids: Tensor) -> Tensor:
    """Target logits of prompts of one length."""
    return model.hf(input_ids=ids, use_cache=False).logits[:, -1]


def read(model: PatchableModel, ids: Tensor, place: Spot) -> Tensor:
    """An activation of a run."""
    found: list[Tensor] = []
    with hooked(place, lambda x: found.append(x.clone())):
        logits(model, ids)
    return found[0]


def patched(model: PatchableModel, base: Tensor, donor: Tensor, place: Spot, where: Tensor) -> Tensor:
    """The logits of `base` with the donor's activation at the positions `where`."""
    other = read(model, donor, place)

    def put(x: Tensor) -> None:
        x[:, where] = other[:, where]

    with hooked(place, put):
        return logits(model, base)


def with_resid_mid(model: PatchableModel, base: Tensor, donor: Tensor, layer: int, where: Tensor) -> Tensor:
    """The logits of `base` with the donor's stream between attention and MLP: attention adds what makes it that."""
    before, added = (spot(model, site, layer) for site in ("resid_pre", "attn_out"))
    wanted = read(model, donor, before) + read(model, donor, added) - read(model, base, before)

    def put(x: Tensor) -> None:
        x[:, where] = wanted[:, where]

    with hooked(added, put):
        return logits(model, base)


def with_pattern(model: PatchableModel, base: Tensor, donor: Tensor, layer: int, head: int, where: Tensor) -> Tensor:
    """The logits of `base` with a head's attention pattern of the donor: what it reads with it is written into z."""
    model.hf.set_attn_implementation("eager")
    with torch.no_grad():
        pattern = model.hf(input_ids=donor, use_cache=False, output_attentions=True).attentions[layer][:, head]
    values = read(model, base, spot(model, "v", layer, head))

    def put(x: Tensor) -> None:
        x[:, where] = (pattern.to(values.dtype) @ values)[:, where]

    with hooked(spot(model, "z", layer, head), put):
        return logits(model, base)
