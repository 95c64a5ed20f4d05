"""SAELens's dictionaries: a folder with cfg.json and sae_weights.safetensors.

    W_enc [d_in n], W_dec [n d_out], b_dec [d_out]; b_enc [n], or gated b_gate, b_mag, r_mag [n]; threshold [n]; W_skip

The metadata of cfg.json, whatever keys it has, is a dictionary's `details`, and is written again as it was read.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from acdc.errors import FileError
from acdc.features.activations import Activation, Gated, JumpReLU, ReLU, TopK
from acdc.features.dictionary import Dictionary, Normalization
from acdc.features.formats.folding import scaled, taking_off_b_dec, with_gain
from acdc.features.formats.format import Format, Reading, one_of_all
from acdc.features.formats.hooks import hook_of, is_ungained, settled, site_of
from acdc.features.formats.saelens_config import SAELensConfig, read_config
from acdc.features.formats.tensors import DTYPES, Tensors, read_safetensors, write_safetensors
from acdc.features.normalizations import Centred, ConstantNorm, LayerNorm
from acdc.features.sites import Site
from acdc.files import write_json

__all__ = ["FORMAT"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
OPTIONS, CENTRED = "model_from_pretrained_kwargs", "center_writing_weights"  # how the model was processed
WRITTEN = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")  # the sites that this changes
VERSION = "6.0.0"  # of SAELens, whose layout is written: it reads a file that doesn't say one as older
NORMALIZATIONS: dict[str, type[ConstantNorm] | type[LayerNorm]] = {
    "constant_norm_rescale": ConstantNorm,
    "layer_norm": LayerNorm,
}


def _recognises(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file()


def _read(folder: Path, reading: Reading) -> tuple[Dictionary]:
    config = read_config(folder / CONFIG, has_scale=reading.input_scale is not None)
    tensors = read_safetensors(folder / WEIGHTS, reading.dtype)
    _check_scaling(tensors)
    activation, b_enc = _activation(config, tensors)
    reads, writes = _sites(config, reading)
    dictionary = Dictionary(
        name=reading.name,
        reads=reads,
        writes=(writes,),
        encoder=tensors.get("W_enc", (config.d_in, config.d_sae)).T.contiguous(),
        b_enc=b_enc,
        decoder=tensors.get("W_dec", (config.d_sae, config.width_out))[:, None],
        b_dec=tensors.get("b_dec", (config.width_out,))[None],
        activation=activation,
        takes_off_b_dec=config.apply_b_dec_to_input,
        skip=tensors.get("W_skip", (config.width_out, config.d_in)) if config.has_skip else None,
        normalization=_normalization(config, reads),
        model=str(config.metadata.get("model_name") or ""),
        details=config.metadata,
    )
    if config.rescale_acts_by_decoder_norm:
        dictionary = _with_unit_rows(dictionary)
    if reading.site is None and is_ungained(config.hook("hook_name")):
        dictionary = with_gain(dictionary, reading.model)
    return (dictionary if reading.input_scale is None else scaled(dictionary, reading.input_scale),)


def _activation(config: SAELensConfig, tensors: Tensors) -> tuple[Activation, Tensor]:
    """What makes features, and what is added before."""
    n = (config.d_sae,)
    if config.architecture == "gated":
        b_gate = tensors.get("b_gate", n)
        return Gated(b_gate, tensors.get("r_mag", n), tensors.get("b_mag", n)), b_gate
    b_enc = tensors.get("b_enc", n)
    if config.architecture == "topk":
        assert config.k is not None  # the config was checked
        return TopK(config.k), b_enc
    return (JumpReLU(tensors.get("threshold", n)) if "jumprelu" in config.architecture else ReLU()), b_enc


def _normalization(config: SAELensConfig, site: Site) -> Normalization | None:
    if (made := NORMALIZATIONS.get(config.normalize_activations)) is not None:
        return made()
    options = config.metadata.get(OPTIONS)
    is_centred = isinstance(options, dict) and options.get(CENTRED) is True
    return Centred() if is_centred and site.kind in WRITTEN and not config.is_transcoder else None


def _sites(config: SAELensConfig, reading: Reading) -> tuple[Site, Site]:
    """Where it reads and writes."""
    what, out = f"dictionary {reading.name!r}", config.hook("hook_name_out")
    reads = settled(reading.site, config.hook("hook_name"), what, reading.model)
    if not config.is_transcoder:
        return reads, reads
    own = Site(reads.layer, "mlp_out") if out is None else None
    return reads, settled(own, out, f"what {what} writes", reading.model)


def _check_scaling(tensors: Tensors) -> None:
    """Refuse features that old files scale on the way out."""
    if "scaling_factor" in tensors and not (tensors.get("scaling_factor") == 1).all():
        raise FileError(
            f"{tensors.path} holds a scaling_factor for each feature (finetuning_scaling_factor), which is not read: "
            "multiply W_dec's rows by it, and leave it out"
        )


def _with_unit_rows(dictionary: Dictionary) -> Dictionary:
    """The same reconstruction from features that are as large as what they write (rescale_acts_by_decoder_norm), so
    that the largest k of them are the k that SAELens takes."""
    rows = dictionary.decoder[:]
    norms = rows.norm(dim=-1)
    return replace(
        dictionary,
        encoder=dictionary.encoder * norms,
        b_enc=dictionary.b_enc * norms[:, 0],
        decoder=rows / norms[..., None],
    )


def _write(dictionaries: Sequence[Dictionary], folder: Path) -> None:
    dictionary = one_of_all(dictionaries, "saelens")
    dictionary = dictionary if dictionary.is_sae else taking_off_b_dec(dictionary, False)
    config = _config(dictionary)
    write_safetensors(folder / WEIGHTS, _tensors(dictionary))
    write_json(folder / CONFIG, config)


def _tensors(dictionary: Dictionary) -> dict[str, Tensor]:
    activation, n = dictionary.activation, dictionary.n_features
    found = {"W_enc": dictionary.encoder.T, "W_dec": dictionary.decoder[:][:, 0], "b_dec": dictionary.b_dec[0]}
    if isinstance(activation, Gated):
        return found | {"b_gate": activation.b_gate, "r_mag": activation.r_mag, "b_mag": activation.b_mag}
    found["b_enc"] = dictionary.b_enc
    if isinstance(activation, JumpReLU):
        found["threshold"] = activation.threshold.expand(n)
    return found if dictionary.skip is None else found | {"W_skip": dictionary.skip}


def _config(dictionary: Dictionary) -> dict[str, Any]:
    """What cfg.json says, in SAELens's words."""
    k = dictionary.activation.k if isinstance(dictionary.activation, TopK) else None
    return {
        "d_in": dictionary.d_in,
        "d_sae": dictionary.n_features,
        "dtype": next(name for name, dtype in DTYPES.items() if dtype == dictionary.encoder.dtype),
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.takes_off_b_dec,
        "normalize_activations": _normalization_name(dictionary),
        "reshape_activations": "hook_z" if dictionary.reads.kind == "z" else "none",
        "metadata": _metadata(dictionary),
        **({"k": k, "rescale_acts_by_decoder_norm": False} if k else {}),
        **({} if dictionary.is_sae else {"d_out": dictionary.d_out}),
        "architecture": _architecture(dictionary),
    }


def _metadata(dictionary: Dictionary) -> dict[str, Any]:
    """The details, with the names of the model and of the sites, unless they say the same by other names."""
    found = {"sae_lens_version": VERSION} | (dictionary.details or {})
    if isinstance(dictionary.normalization, Centred):
        found[OPTIONS] = (found.get(OPTIONS) or {}) | {CENTRED: True}
    if str(found.get("model_name") or "") != dictionary.model:
        found["model_name"] = dictionary.model
    sites = {"hook_name": dictionary.reads} | ({} if dictionary.is_sae else {"hook_name_out": dictionary.writes[0]})
    for key, site in sites.items():
        told = found.get(f"hf_{key}", found.get(key))
        if key not in found or site_of(str(told)) != site or is_ungained(told):
            found.pop(f"hf_{key}", None)
            found[key] = hook_of(site)
    return found


def _normalization_name(dictionary: Dictionary) -> str:
    if dictionary.normalization is None or (isinstance(dictionary.normalization, Centred) and dictionary.is_sae):
        return "none"
    found = [name for name, kind in NORMALIZATIONS.items() if type(dictionary.normalization) is kind]
    if not found or not dictionary.is_sae:
        raise FileError(f"SAELens knows no {type(dictionary.normalization).__name__} of {_kind(dictionary)}")
    return found[0]


def _architecture(dictionary: Dictionary) -> str:
    """SAELens's name of it.

    Raises:
        FileError: It has none.
    """
    kinds = {ReLU: "standard", TopK: "topk", JumpReLU: "jumprelu", Gated: "gated"}
    kind = kinds.get(type(dictionary.activation))
    if dictionary.is_sae and dictionary.skip is None and kind is not None:
        return kind
    if dictionary.is_sae or len(dictionary.writes) != 1 or kind not in ("standard", "jumprelu"):
        raise FileError(f"SAELens has no architecture for {_kind(dictionary)}: save it in another format")
    return "_".join(
        [*(["jumprelu"] if kind == "jumprelu" else []), *([] if dictionary.skip is None else ["skip"]), "transcoder"]
    )


def _kind(dictionary: Dictionary) -> str:
    """What it is, for messages."""
    what = "an SAE" if dictionary.is_sae else "a transcoder"
    sites = "" if len(dictionary.writes) == 1 else f" that writes at {len(dictionary.writes)} sites"
    skip = "" if dictionary.skip is None else " with a skip connection"
    return f"{what} with {type(dictionary.activation).__name__}{sites}{skip}"


FORMAT = Format(
    name="saelens",
    summary="SAELens 3 to 6: standard, topk, jumprelu, gated; transcoders, with skip, jumprelu",
    files=f"{CONFIG} and {WEIGHTS}",
    patterns=(CONFIG, WEIGHTS),
    recognises=_recognises,
    read=_read,
    write=_write,
)
