"""What a model computes beside the weights that are read of it: nothing, or the model is refused.

Attention's projections and the unembedding are read as weights and never called, and neither are the modules around
them: the attention module, the layer, the model itself. What a LoRA adapter, packed weights or a hook do there would be
left out without a word, and the circuit found would be that of another model.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from acdc.errors import ModelError

__all__ = ["check_bypassed", "modules_read"]

PLAIN = ("transformers.models.", "transformers.pytorch_utils")  # whose own classes do what their weights say


def check_bypassed(hf: Any, reads: tuple[str, ...]) -> None:
    """Refuse a model in which a module that is never called does more than its weights say.

    Args:
        reads: How the names of the modules end whose weights are read.

    Raises:
        ModelError: It is wrapped, has a hook or another `forward`; the message names it.
    """
    called_not = {""}
    for name, module in modules_read(hf, reads):
        if why := _wrapped(module) or _meddled(module):
            raise ModelError(f"{name!r} can't be read as a weight: {why}")
        parts = name.split(".")
        called_not |= {".".join(parts[:i]) for i in range(1, len(parts))}
    for name, module in hf.named_modules():
        if name in called_not and (why := _meddled(module)):
            raise ModelError(f"{name or 'the model'!r} is taken apart, and so never called, but {why}")


def modules_read(hf: Any, reads: tuple[str, ...]) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose weights are read, with their names: those of `reads` and the unembedding."""
    head = hf.get_output_embeddings()
    for name, module in hf.named_modules():
        if module is head or name.endswith(reads):
            yield name, module


def _wrapped(module: nn.Module) -> str | None:
    """Why a projection isn't what its weight says."""
    kind = type(module)
    if kind is not nn.Linear and not kind.__module__.startswith(PLAIN):
        what = f"{kind.__module__}.{kind.__qualname__}"
        return f"it is a {what}, no plain linear layer; merge the adapter (merge_and_unload()), or take the wrapper off"
    weight = getattr(module, "weight", None)
    if type(weight) is not nn.Parameter or not weight.is_floating_point():
        numbers = getattr(weight, "dtype", "no numbers")
        return f"its weight is a {type(weight).__name__} of {numbers}, no parameter of floating-point numbers"
    return None


def _meddled(module: nn.Module) -> str | None:
    """What is called whenever the module is; transformers' own hooks only record."""
    for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
        if not (getattr(hook, "__module__", None) or "").startswith("transformers."):
            return f"it has a hook ({getattr(hook, '__qualname__', type(hook).__name__)}); remove the hook"
    if "forward" in vars(module) and not _only_moves(module):
        return "its forward was replaced; load the model anew"
    return None


def _only_moves(module: nn.Module) -> bool:
    """Whether it was accelerate that replaced the module's forward, by one that moves weights and inputs."""
    hook, old = getattr(module, "_hf_hook", None), vars(module).get("_old_forward")
    kinds = {f"{type(one).__module__}.{type(one).__name__}" for one in getattr(hook, "hooks", [hook])}
    return kinds == {"accelerate.hooks.AlignDevicesHook"} and getattr(old, "__func__", None) is type(module).forward
