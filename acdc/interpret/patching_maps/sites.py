"""The places that can be patched, and what patching one there changes in the residual stream.

| site | what it is | cells |
|---|---|---|
| `resid_pre`, `resid_mid` | the residual stream before a block, and between attention and MLP | layer x position |
| `attn_out`, `mlp_out` | what attention, or the MLP, adds to the residual stream | layer x position |
| `z`, `q`, `k`, `v`, `pattern` | a head's output before W_O, queries, keys, values, attention | layer x head |
| `z_by_pos`, ... | the same at one position; `pattern_by_pos`: at one destination | head x position |

Names are TransformerLens's. q and k are taken as attention uses them, normed and rotated. With grouped-query attention
each query head has its own copy of the keys and values that it shares, as in our graph. A norm after attention (in
Gemma 2) is computed again on the patched sum.

A head's z is a function of q, k and v, so a patched head is one that takes some of the three from the other run: all of
them for `z`, q and k for `pattern`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.errors import ModelError
from acdc.interpret.patching_maps.sides import Base, resid
from acdc.models.components import Attention
from acdc.patching.activations import ActivationCache
from acdc.patching.attention import attend_heads, attn_out, head_results, layer_out, post_scale
from acdc.registry import Registry

__all__ = ["BY_HEAD", "BY_POS", "SITES", "STREAM", "Site", "added", "check_sites", "head_changes"]

STREAM, BY_HEAD, BY_POS = "position", "head", "head and position"


@dataclass(frozen=True)
class Site:
    """A place.

    Attributes:
        cells: What the columns of its map are: `position`, `head`, or `head and position`.
        donors: Of a head: which of q, k and v come from the other run.
    """

    name: str
    summary: str
    cells: str
    donors: str = ""


HEADS = {
    "z": ("a head's output before W_O", "qkv"),
    "q": ("a head's queries", "q"),
    "k": ("a head's keys", "k"),
    "v": ("a head's values", "v"),
    "pattern": ("a head's attention pattern", "qk"),
}
SITES: Registry[Site] = Registry.of(
    "site",
    (
        Site("resid_pre", "the residual stream before each block, and behind the last", STREAM),
        Site("resid_mid", "the residual stream between attention and MLP", STREAM),
        Site("attn_out", "what attention adds", STREAM),
        Site("mlp_out", "what the MLP adds", STREAM),
        *(Site(name, summary, BY_HEAD, donors) for name, (summary, donors) in HEADS.items()),
        *(
            Site(f"{name}_by_pos", f"{summary}, by position", BY_POS, donors)
            for name, (summary, donors) in HEADS.items()
        ),
    ),
)


def check_sites(names: tuple[str, ...], base: Base) -> tuple[Site, ...]:
    """The sites of these names, if the model has them.

    Raises:
        UnknownNameError: There is no such site.
        ModelError: The model's blocks have none.
    """
    if "resid_mid" in names and base.parallel:
        raise ModelError(
            f"{base.model.name!r} has no resid_mid: attention and MLP of a block read the same stream; leave it out"
        )
    return tuple(SITES.find(name) for name in names)


def added(run: ActivationCache, base: Base, site: str, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """What a layer's attention or MLP adds to the residual stream in a run."""
    if site == "mlp_out":
        return run.outputs.mlp[layer]
    return layer_out(base.model.components.blocks[layer], run.outputs.z[layer])


def stream_change(base: Base, donor: ActivationCache, layer: int) -> Float[Tensor, "batch pos d_model"]:
    """How the residual stream before a block differs in the other run."""
    return resid(donor, layer) - base.resid(layer)


@torch.no_grad()
def head_changes(
    base: Base, donor: ActivationCache, layer: int, donors: str, where: Bool[Tensor, "batch pos"]
) -> Iterator[Float[Tensor, "batch pos d_model"]]:
    """For one head of a layer after another, what attention adds less what it added, if that head takes `donors` from
    the other run at the positions `where`.

    Queries, patterns and z act on the outputs at these positions; keys and values on all that look at them.
    """
    attention, run = base.model.components.blocks[layer].attention, base.run
    old = _raw_z(base, layer, {kind: getattr(run, kind)[layer] for kind in QKV})
    if set(donors) <= {"k", "v"}:
        new = _raw_z(base, layer, {kind: _mixed(run, donor, kind, layer, donors, where) for kind in QKV})
    else:
        new = _raw_z(base, layer, {kind: getattr(donor if kind in donors else run, kind)[layer] for kind in QKV})
        new = torch.where(where[..., None], new, old)
    for h in range(attention.n_heads):
        if attention.post_norm_eps is None:
            yield head_results(attention, (new[h] - old[h])[None], [h])[0]
        else:
            patched = torch.cat([old[:h], new[h : h + 1], old[h + 1 :]])
            yield _normed_out(attention, patched) - _normed_out(attention, old)


def _normed_out(attention: Attention, z: Float[Tensor, "head batch pos d_head"]) -> Float[Tensor, "batch pos d_model"]:
    """What attention adds, a norm after it included."""
    scale = post_scale(attention, z)
    return attn_out(attention, z if scale is None else z * scale)


def _mixed(
    run: ActivationCache, donor: ActivationCache, kind: str, layer: int, donors: str, where: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "n batch pos d_head"]:
    """q, k or v of a layer, from the other run at some positions if it is one of `donors`."""
    mine, other = (getattr(each, kind)[layer] for each in (run, donor))
    return torch.where(where[..., None], other, mine) if kind in donors else mine


def _raw_z(base: Base, layer: int, inputs: dict[str, Tensor]) -> Float[Tensor, "head batch pos d_head"]:
    """What the heads of a layer read by these q, k and v, before a norm after attention."""
    attention = base.model.components.blocks[layer].attention
    q, k, v = (x.repeat_interleave(attention.n_heads // len(x), 0)[:, None] for x in (inputs[kind] for kind in QKV))
    return attend_heads(attention, range(attention.n_heads), q, k, v, base.layout.bias_of(attention))[:, 0]
