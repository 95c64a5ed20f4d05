"""The local replacement model: the model on one prompt with transcoders for MLPs, and all else held that isn't linear.

    mlp_out = features W_dec + b_dec (+ x W_skipᵀ) + error

The error is what the transcoders miss on this prompt, a constant, so that the run is the model's own. Attention
patterns and norms' scales are constants too. What is left is linear in the tokens, features and errors.

Reference: Ameisen et al. 2025, Circuit tracing, section "The local replacement model".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import ModelError
from acdc.features.activations import Gated
from acdc.features.attribution_graphs.frozen_blocks import with_frozen_pattern
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, through_sites
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.frozen import frozen
from acdc.patching.gradient.frozen_norms import FrozenNorms
from acdc.patching.gradient.rules import Rules, check_rules
from acdc.prompts.batch import PromptBatch

__all__ = ["ActiveFeatures", "LocalReplacement", "check_transcoders", "local_replacement"]

READS = ("resid_pre", "resid_mid", "mlp_in")


@dataclass(frozen=True, eq=False)
class ActiveFeatures:
    """The features of a dictionary that are not zero on a prompt, position after position.

    Attributes:
        vectors: What each reads: its value is this times what the dictionary reads at its position, and a constant.
        values: Its pre-activation.
        writes: What each writes when it is 1, at each of the dictionary's sites.
    """

    dictionary: Dictionary
    positions: Int[Tensor, " n"]
    indices: Int[Tensor, " n"]
    activations: Float[Tensor, " n"]
    values: Float[Tensor, " n"]
    vectors: Float[Tensor, "n d_in"]
    writes: Float[Tensor, "n n_writes d_out"]


@dataclass(frozen=True, eq=False)
class LocalReplacement:
    """A prompt's local replacement model, ready for backward passes.

    Attributes:
        features: Of each dictionary, by layer.
        errors: What no dictionary gives of each MLP's output; all of it where no dictionary writes.
        leaves: What is written: the embeddings, then what features and errors write at each layer's MLP.
        read: What the dictionaries read.
        final: What the unembedding reads at the last position, normed.
        last: The same before the norm.
    """

    features: tuple[ActiveFeatures, ...]
    errors: Float[Tensor, "layer pos d_model"]
    leaves: tuple[Float[Tensor, "1 pos d_model"], ...]
    read: dict[Site, Float[Tensor, "1 pos d_in"]]
    final: Float[Tensor, "1 d_model"]
    last: Float[Tensor, "1 d_model"]


def check_transcoders(model: PatchableModel, dictionaries: Sequence[Dictionary]) -> None:
    """Raise `ModelError` unless these can stand for MLPs of the model."""
    check_rules(model, Rules(frozen_norms=True))
    seen: dict[int, str] = {}
    for each in dictionaries:
        layer, wrong = each.reads.layer, ""
        if each.is_sae:
            wrong = f"is an SAE of {each.reads}"
        elif each.reads.kind not in READS:
            wrong = f"reads {each.reads}"
        elif bad := [site for site in each.writes if site.kind != "mlp_out" or site.layer < layer]:
            wrong = f"writes {bad[0]} and reads {each.reads}"
        if wrong:
            raise ModelError(
                f"dictionary {each.name!r} {wrong}; an attribution graph needs transcoders, which read what an MLP "
                f"reads ({', '.join(READS)}) and write mlp_out of its layer, or of that and later ones"
            )
        if each.normalization is not None:
            raise ModelError(
                f"dictionary {each.name!r} normalises each token, so its features are not linear in what they read: an "
                "attribution graph can't have it"
            )
        if layer in seen:
            raise ModelError(
                f"dictionaries {seen[layer]!r} and {each.name!r} both read layer {layer}; give one of them"
            )
        seen[layer] = each.name
        each.check_fits(model)


def local_replacement(
    model: PatchableModel, batch: PromptBatch, dictionaries: Sequence[Dictionary], *, skipped: int = 0
) -> LocalReplacement:
    """Run a prompt, encode it, and run it again with all frozen.

    Args:
        batch: One prompt.
        skipped: At so many first positions no feature counts: what MLPs write there is all error.
    """
    by_layer = sorted(dictionaries, key=lambda each: each.reads.layer)
    read, written = _real_run(model, batch, by_layer)
    features, errors, direct = [], list[Tensor](), list[Tensor]()
    encoded = [_encoded(each, read[each.reads], skipped) for each in by_layer]
    for layer, out in enumerate(written):
        site = Site(layer, "mlp_out")
        writing = [i for i, each in enumerate(by_layer) if site in each.writes]
        skip = sum((_skip(by_layer[i], read[by_layer[i].reads], site) for i in writing), torch.zeros_like(out))
        found = sum((_decoded(by_layer[i], encoded[i], read[by_layer[i].reads], site) for i in writing), 0 * out)
        errors.append(out - found)
        direct.append(out - skip)
    features = [_active(each, read[each.reads], found) for each, found in zip(by_layer, encoded, strict=True)]
    return _frozen_run(model, batch, by_layer, tuple(features), torch.cat(errors), direct)


@torch.no_grad()
def _real_run(
    model: PatchableModel, batch: PromptBatch, dictionaries: Sequence[Dictionary]
) -> tuple[dict[Site, Tensor], list[Tensor]]:
    sites, read, written = {each.reads for each in dictionaries}, dict[Site, Tensor](), list[Tensor]()

    def visit(site: Site, x: Tensor) -> Tensor:
        if site in sites:
            read[site] = x
        if site.kind == "mlp_out":
            written.append(x)
        return x

    through_sites(model, batch, batch.clean, visit)
    return read, written


@torch.no_grad()
def _encoded(dictionary: Dictionary, x: Tensor, skipped: int) -> Float[Tensor, "1 pos n_features"]:
    found = dictionary.encode(x.to(dictionary.encoder))
    found[:, :skipped] = 0
    return found


@torch.no_grad()
def _decoded(dictionary: Dictionary, found: Tensor, x: Tensor, site: Site) -> Float[Tensor, "1 pos d_out"]:
    return dictionary.decode(found, x.to(dictionary.encoder), site=site).to(x)


def _skip(dictionary: Dictionary, x: Tensor, site: Site) -> Tensor:
    """What goes straight from what is read to a site: to the first alone."""
    direct = dictionary.skip is not None and site == dictionary.writes[0]
    return (x.to(dictionary.encoder) @ dictionary.skip.T).to(x) if direct else x.new_zeros(())  # type: ignore[union-attr]


@torch.no_grad()
def _active(dictionary: Dictionary, x: Tensor, found: Float[Tensor, "1 pos n_features"]) -> ActiveFeatures:
    positions, indices = found[0].nonzero(as_tuple=True)
    pre = dictionary.pre_activations(x.to(dictionary.encoder))[0, positions, indices]
    vectors, activation = dictionary.encoder[indices], dictionary.activation
    if isinstance(activation, Gated):  # what is linear is the size, beside the gate
        scale = activation.r_mag[indices].exp()
        pre = (pre - activation.b_gate[indices]) * scale + activation.b_mag[indices]
        vectors = vectors * scale[:, None]
    used, place = indices.unique(return_inverse=True)
    return ActiveFeatures(
        dictionary, positions, indices, found[0, positions, indices], pre, vectors, dictionary.decoder[used][place]
    )


def _frozen_run(
    model: PatchableModel,
    batch: PromptBatch,
    dictionaries: Sequence[Dictionary],
    features: tuple[ActiveFeatures, ...],
    errors: Float[Tensor, "layer pos d_model"],
    direct: list[Float[Tensor, "1 pos d_model"]],
) -> LocalReplacement:
    sites, read = {each.reads for each in dictionaries}, dict[Site, Tensor]()
    with torch.no_grad():
        embedded = model.embed(batch.clean, batch.position_ids)
    leaves = [x.detach().clone().requires_grad_() for x in (embedded, *direct)]

    def visit(site: Site, x: Tensor) -> Tensor:
        if site in sites:
            read[site] = x
        if site.kind != "mlp_out":
            return x
        skips = [_skip(each, read[each.reads], site) for each in dictionaries if site in each.writes]
        return sum(skips, leaves[1 + site.layer])

    blocks = [
        replace(block, attention=with_frozen_pattern(block.attention), mlp=torch.zeros_like)
        for block in model.components.blocks
    ]
    with frozen(model), torch.enable_grad(), FrozenNorms():
        stream = through_sites(model, batch, batch.clean, visit, embeddings=leaves[0], blocks=blocks)
        last = stream[:, -1]
        final = wide(model.components.ln_final(last))
    return LocalReplacement(features, errors, tuple(leaves), read, final, last.detach())
