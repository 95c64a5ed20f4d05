"""Where dictionaries read and write, by other tools' names: TransformerLens's hook points, and modules of Hugging Face.

| ours | TransformerLens | Hugging Face |
|---|---|---|
| `resid_pre.5` | `blocks.5.hook_resid_pre` | `layers.5.input` |
| `resid_mid.5` | `blocks.5.hook_resid_mid` | |
| `resid_post.5` | `blocks.5.hook_resid_post` | `layers.5`, `layers.5.output` |
| `attn_out.5` | `blocks.5.hook_attn_out` | `layers.5.self_attn` |
| `z.5` | `blocks.5.attn.hook_z` | `layers.5.self_attn.o_proj.input` |
| `mlp_in.5` | `blocks.5.mlp.hook_in` | `layers.5.mlp.input`, `layers.5.pre_feedforward_layernorm.output` |
| `mlp_out.5` | `blocks.5.hook_mlp_out` | `layers.5.mlp`, `layers.5.post_feedforward_layernorm.output` |

Two names of TransformerLens say less than they seem to. `hook_mlp_in` is the residual stream before the norm, our
`resid_mid`. `ln2.hook_normalized` is what the MLP reads without the norm's gain where the model has RMS norms, which is
folded into a dictionary where it is read.
"""

import re

from acdc.errors import FileError, ModelError, printable
from acdc.features.sites import Site
from acdc.models import PatchableModel

__all__ = ["check_place", "hook_of", "is_ungained", "settled", "site_of"]

UNGAINED = "ln2.hook_normalized"
HOOKS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "attn.hook_z": "z",
    "mlp.hook_in": "mlp_in",
    "hook_mlp_out": "mlp_out",
    "hook_mlp_in": "resid_mid",
    "mlp.hook_out": "mlp_out",
    UNGAINED: "mlp_in",
}
ATTENTION = r"(?:self_attn|attn|attention|self_attention)"
MODULES = {  # what follows the layer: ours
    r"(?:output)?": "resid_post",
    r"input": "resid_pre",
    ATTENTION + r"(?:\.output)?": "attn_out",
    ATTENTION + r"\.(?:o_proj|c_proj|out_proj|dense)\.input": "z",
    r"mlp\.input": "mlp_in",
    r"pre_feedforward_layernorm(?:\.output)?": "mlp_in",
    r"mlp(?:\.output)?": "mlp_out",
    r"post_feedforward_layernorm(?:\.output)?": "mlp_out",
}
BARE = ("mlp.hook_out", ATTENTION + r"(?:\.output)?", r"mlp(?:\.output)?")  # what a module itself writes
BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
LAYER = re.compile(r"(?:.*\.)?(?:layers|h)\.(\d+)(?:\.(.*))?")


def site_of(name: str) -> Site | None:
    """The site of another tool's name; None if there is none.

    >>> site_of("blocks.5.hook_resid_post"), site_of("model.layers.3.mlp"), site_of("hook_embed")
    (Site(layer=5, kind='resid_post'), Site(layer=3, kind='mlp_out'), None)
    """
    if match := BLOCK.fullmatch(name):
        kind = HOOKS.get(match[2])
    elif match := LAYER.fullmatch(name):
        rest = match[2] or ""
        kind = next((kind for pattern, kind in MODULES.items() if re.fullmatch(pattern, rest)), None)
    else:
        return None
    return None if kind is None else Site(int(match[1]), kind)


def is_ungained(name: str | None) -> bool:
    """Whether a name of TransformerLens is of what the MLP reads, before the norm's gain."""
    match = BLOCK.fullmatch(name or "")
    return match is not None and match[2] == UNGAINED


def hook_of(site: Site) -> str:
    """TransformerLens's name of a site.

    >>> hook_of(Site(5, "z"))
    'blocks.5.attn.hook_z'
    """
    return f"blocks.{site.layer}.{next(hook for hook, kind in HOOKS.items() if kind == site.kind)}"


def check_place(told: str | None, model: PatchableModel | None, what: str) -> None:
    """Raise `ModelError` where a dictionary is of what a module writes, and the model adds something else of it: with a
    norm behind it (Gemma 2 and 3, OLMo 2 and 3), or a factor (Granite)."""
    match = BLOCK.fullmatch(told or "") or LAYER.fullmatch(told or "")
    if model is None or match is None or not any(re.fullmatch(bare, match[2] or "") for bare in BARE):
        return
    layer = int(match[1])  # one that the model lacks is told elsewhere
    if layer < model.graph.n_layers and model.components.blocks[layer].attention.gain is not None:
        raise ModelError(
            f"{what} is of what the module writes ({told}), and {model.name!r} adds that normed or multiplied: "
            f"{site_of(told or '')} is another place, so it can't be used there; take one that was trained behind it"
        )


def settled(given: Site | None, told: str | None, what: str, model: PatchableModel | None = None) -> Site:
    """The site of a dictionary: the one that its file tells, or else the given one.

    Args:
        told: Another tool's name of it, if the file has one.
        what: Whose site it is, for messages.
        model: Whose place it must be.

    Raises:
        FileError: Neither tells, or they differ.
        ModelError: The model holds something else there.
    """
    check_place(told, model, what)
    found = None if told is None else site_of(told)
    if found is not None and given is not None and found != given:
        raise FileError(f"{what} is of the site {found} ({told}), not {given}")
    if (site := found or given) is None:
        says = "doesn't say its site" if told is None else f"is of {printable(told, 80)!r}, which is no site of ours"
        raise FileError(f"{what} {says}; if you know it, give it: site='resid_post.5' (--site resid_post.5)")
    return site
