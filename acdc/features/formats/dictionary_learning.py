"""dictionary_learning's SAEs: a folder with ae.pt and config.json.

ae.pt is a pickle, of which tensors alone are ever read: one that holds an object is refused. What a file's tensors are
called, and what is computed of them, depends on `dict_class` in config.json.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc.circuits.formats.torch_files import load_plain, save_plain
from acdc.errors import CircuitError, FileError, shown
from acdc.features.activations import Activation, Gated, JumpReLU, ReLU, TopK
from acdc.features.dictionary import Dictionary
from acdc.features.formats.folding import taking_off_b_dec
from acdc.features.formats.format import Format, Reading, one_of_all
from acdc.features.formats.hooks import settled
from acdc.features.formats.tensors import Tensors
from acdc.features.sites import KINDS, Site
from acdc.files import read_bytes, read_json, validated, write_json

__all__ = ["FORMAT"]

WEIGHTS, CONFIG = "ae.pt", "config.json"
MAX_BYTES, MAX_CONFIG = 2**36, 2**20
PLACES = {kind: kind for kind in KINDS} | {"attention_out": "attn_out", "resid": "resid_post"}


class _Trainer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    dict_class: str
    layer: int | None = None
    lm_name: str | None = None
    submodule_name: str | None = None


class _Config(BaseModel):
    model_config = ConfigDict(extra="ignore")

    trainer: _Trainer


class _Class:
    """How one of its classes is read: what activates, and by which names its tensors go."""

    def __init__(
        self,
        activation: Callable[[Tensors, int], Activation],
        *,
        linear: bool = True,
        takes_off: bool = True,
        b_enc: str = "encoder.bias",
        b_dec: str = "b_dec",
    ) -> None:
        self.activation, self.linear, self.takes_off = activation, linear, takes_off
        self.b_enc, self.b_dec = b_enc, b_dec


def _gated(tensors: Tensors, n: int) -> Gated:
    return Gated(*(tensors.get(name, (n,)) for name in ("gate_bias", "r_mag", "mag_bias")))


def _top_k(tensors: Tensors, n: int) -> TopK:
    k = tensors.found.get("k")
    if k is None or k.numel() != 1 or not 0 < int(k) <= n:
        raise FileError(f"{tensors.path} must hold k, from 1 to {n:,}, not {shown(k)}")
    return TopK(int(k))


CLASSES = {
    "AutoEncoder": _Class(lambda tensors, n: ReLU(), b_dec="bias"),
    "AutoEncoderNew": _Class(lambda tensors, n: ReLU(), takes_off=False, b_dec="decoder.bias"),
    "GatedAutoEncoder": _Class(_gated, b_enc="gate_bias", b_dec="decoder_bias"),
    "AutoEncoderTopK": _Class(_top_k),
    "BatchTopKSAE": _Class(lambda tensors, n: JumpReLU(tensors.get("threshold", ()))),
    "MatryoshkaBatchTopKSAE": _Class(
        lambda tensors, n: JumpReLU(tensors.get("threshold", ())), linear=False, b_enc="b_enc"
    ),
    "JumpReluAutoEncoder": _Class(
        lambda tensors, n: JumpReLU(tensors.get("threshold", (n,))), linear=False, takes_off=False, b_enc="b_enc"
    ),
}


def _read(folder: Path, reading: Reading) -> tuple[Dictionary]:
    path = folder / CONFIG
    raw = read_json(path, max_bytes=MAX_CONFIG, allow_nan=True)
    trainer = validated(_Config, raw, what=f"{path} can't be used").trainer
    if trainer.dict_class not in CLASSES:
        raise FileError(f"{path}: {shown(trainer.dict_class)} isn't read here (read: {', '.join(CLASSES)})")
    kind, tensors = CLASSES[trainer.dict_class], _tensors(folder / WEIGHTS, reading.dtype)
    encoder, decoder = _matrices(kind, tensors)
    n, d = encoder.shape
    reads = _site(trainer, reading)
    return (
        Dictionary(
            name=reading.name,
            reads=reads,
            writes=(reads,),
            encoder=encoder,
            b_enc=tensors.get(kind.b_enc, (n,)),
            decoder=decoder[:, None],
            b_dec=tensors.get(kind.b_dec, (d,))[None],
            activation=kind.activation(tensors, n),
            takes_off_b_dec=kind.takes_off,
            model=trainer.lm_name or "",
            details=raw | _scalars(tensors),
        ),
    )


def _tensors(path: Path, dtype: torch.dtype | None) -> Tensors:
    """The tensors of ae.pt, and nothing else of it."""
    try:
        found = load_plain(read_bytes(path, max_bytes=MAX_BYTES), max_bytes=MAX_BYTES)
    except CircuitError as error:
        raise FileError(f"{path} {error}") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise FileError(f"{path} must hold tensors by their names, and nothing else, not {shown(found)}")
    return Tensors(path, {str(name): value for name, value in found.items()}, dtype)


def _matrices(kind: _Class, tensors: Tensors) -> tuple[Tensor, Tensor]:
    """Encoder and decoder, `[n d]`."""
    if kind.linear:
        encoder = tensors.matrix("encoder.weight")
        return encoder, tensors.get("decoder.weight", encoder.shape[::-1]).T.contiguous()
    encoder = tensors.matrix("W_enc").T.contiguous()
    return encoder, tensors.get("W_dec", encoder.shape)


def _site(trainer: _Trainer, reading: Reading) -> Site:
    """Where it reads: `submodule_name` says the place, in many ways, and `layer` the layer."""
    known = _told(trainer.submodule_name, trainer.layer)
    if known is not None and reading.site not in (None, known):
        raise FileError(f"dictionary {reading.name!r} is of the site {known}, not {reading.site}")
    return known or settled(reading.site, trainer.submodule_name, f"dictionary {reading.name!r}", reading.model)


def _told(submodule: object, layer: object) -> Site | None:
    """The site that a config means, like `resid_post_layer_3`; None if it isn't known."""
    name = str(submodule).split("_layer")[0]
    return Site(layer, PLACES[name]) if isinstance(layer, int) and name in PLACES else None


def _scalars(tensors: Tensors) -> dict[str, Any]:
    """The numbers that a TopK SAE carries for its other way to encode."""
    if "threshold" not in tensors or tensors.found["threshold"].ndim:
        return {}
    return {"threshold": float(tensors.get("threshold", ()))}


def _write(dictionaries: Sequence[Dictionary], folder: Path) -> None:
    dictionary = one_of_all(dictionaries, "dictionary_learning")
    if not dictionary.is_sae or dictionary.skip is not None or dictionary.normalization is not None:
        raise FileError(f"dictionary_learning holds plain SAEs, and {dictionary.name!r} is another: save it otherwise")
    name, dictionary = _class_of(dictionary)
    kind = CLASSES[name]
    encoder, decoder = dictionary.encoder, dictionary.decoder[:][:, 0]
    tensors = (
        {"encoder.weight": encoder, "decoder.weight": decoder.T}
        if kind.linear
        else {"W_enc": encoder.T, "W_dec": decoder}
    )
    tensors |= {kind.b_enc: dictionary.b_enc, kind.b_dec: dictionary.b_dec[0]} | _extra(dictionary)
    save_plain({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, folder / WEIGHTS)
    write_json(folder / CONFIG, _config(name, dictionary))


def _class_of(dictionary: Dictionary) -> tuple[str, Dictionary]:
    """The class that computes the same, and the dictionary as it has it."""
    activation, takes_off = dictionary.activation, dictionary.takes_off_b_dec
    if isinstance(activation, ReLU):
        return ("AutoEncoder" if takes_off else "AutoEncoderNew"), dictionary
    if isinstance(activation, Gated):
        return "GatedAutoEncoder", taking_off_b_dec(dictionary, True)
    if isinstance(activation, TopK):
        return "AutoEncoderTopK", taking_off_b_dec(dictionary, True)
    if not isinstance(activation, JumpReLU):
        raise FileError(f"dictionary_learning has no class for {type(activation).__name__}: save it in another format")
    if takes_off and activation.threshold.ndim == 0 and "k" in _trainer(dictionary):
        return "BatchTopKSAE", dictionary
    threshold = activation.threshold.expand(dictionary.n_features)
    folded = taking_off_b_dec(dictionary, False)
    return "JumpReluAutoEncoder", replace(folded, activation=JumpReLU(threshold))


def _extra(dictionary: Dictionary) -> dict[str, Tensor]:
    """What the activation needs beside the matrices."""
    activation, details = dictionary.activation, dictionary.details or {}
    if isinstance(activation, Gated):
        return {"r_mag": activation.r_mag, "mag_bias": activation.b_mag}
    if isinstance(activation, TopK):
        threshold = torch.tensor(float(details.get("threshold", -1.0)))
        return {"k": torch.tensor(activation.k, dtype=torch.int), "threshold": threshold}
    if not isinstance(activation, JumpReLU):
        return {}
    k = {"k": torch.tensor(int(_trainer(dictionary)["k"]), dtype=torch.int)} if not activation.threshold.ndim else {}
    return {"threshold": activation.threshold} | k


def _trainer(dictionary: Dictionary) -> dict[str, Any]:
    found = (dictionary.details or {}).get("trainer")
    return found if isinstance(found, dict) else {}


def _config(name: str, dictionary: Dictionary) -> dict[str, Any]:
    site, trainer = dictionary.reads, _trainer(dictionary)
    told = trainer.get("submodule_name")
    name_of_site = told if _told(told, site.layer) == site else f"{site.kind}_layer_{site.layer}"
    sizes = {"activation_dim": dictionary.d_in, "dict_size": dictionary.n_features}
    where = {"layer": site.layer, "submodule_name": name_of_site}
    k = {"k": dictionary.activation.k} if isinstance(dictionary.activation, TopK) else {}
    own = trainer | {"dict_class": name} | sizes | k | where | {"lm_name": dictionary.model}
    return {key: value for key, value in (dictionary.details or {}).items() if key != "threshold"} | {"trainer": own}


FORMAT = Format(
    name="dictionary_learning",
    summary="dictionary_learning: AutoEncoder, Gated, TopK, BatchTopK, Matryoshka, JumpReLU",
    files=f"{WEIGHTS} and {CONFIG}",
    patterns=(WEIGHTS, CONFIG),
    recognises=lambda folder: (folder / WEIGHTS).is_file(),
    read=_read,
    write=_write,
)
