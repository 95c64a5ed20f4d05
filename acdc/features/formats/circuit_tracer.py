"""circuit-tracer's sets of transcoders: a folder with config.yaml and a file for each layer.

    transcoder_set            layer_{i}.safetensors: W_enc [n d], W_dec [n d], b_enc, b_dec,
                              activation_function.threshold [n]?, W_skip [d d]?
    cross_layer_transcoder    W_enc_{i}.safetensors: W_enc_{i} [n d], b_enc_{i}, b_dec_{i}, threshold_{i}?
                              W_dec_{i}.safetensors: W_dec_{i} [n n_layers-i d]

config.yaml says by TransformerLens's names what is read and written; its `transcoders`, if it has them, are files
elsewhere, some of them Gemma Scope's. Decoders stay in their files: rows are read when they are asked for. `b_dec` of a
layer of a cross-layer transcoder is added once, at that layer.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from acdc.errors import FileError, printable
from acdc.features.activations import Activation, JumpReLU, ReLU, TopK
from acdc.features.dictionary import Dictionary
from acdc.features.formats.folding import taking_off_b_dec, with_gain
from acdc.features.formats.format import Format, Reading
from acdc.features.formats.gemma_scope import read_npz
from acdc.features.formats.gemma_scope_2 import read_params
from acdc.features.formats.hooks import hook_of, is_ungained, site_of
from acdc.features.formats.source import file_of
from acdc.features.formats.tensors import LazyRows, Tensors, keys_of, read_safetensors, write_safetensors
from acdc.features.sites import Site
from acdc.files import read_bytes, validated, write_atomically

__all__ = ["FORMAT"]

CONFIG = "config.yaml"
MAX_BYTES = 2**20
THRESHOLD = "activation_function.threshold"


class _Config(BaseModel):
    """What is read of config.yaml."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_name: str = ""
    model_kind: Literal["transcoder_set", "cross_layer_transcoder"]
    feature_input_hook: str
    feature_output_hook: str
    transcoders: list[str] | None = None
    activation: Literal["relu", "topk", "jump_relu", "jumprelu"] | None = None
    k: Annotated[int, Field(ge=1, le=2**27)] | None = None

    def hooks(self, layer: int) -> tuple[str, str]:
        """The full names of what is read and written in a layer."""
        return f"blocks.{layer}.{self.feature_input_hook}", f"blocks.{layer}.{self.feature_output_hook}"


def _read(folder: Path, reading: Reading) -> tuple[Dictionary, ...]:
    raw, config = _config(folder / CONFIG)
    is_set = config.model_kind == "transcoder_set"
    if config.transcoders is not None:
        found = [_elsewhere(folder, config, i, place, reading) for i, place in enumerate(config.transcoders)]
    elif is_set:
        paths = _numbered(folder, "layer")
        found = [_transcoder(path, config, i, reading) for i, path in enumerate(paths)]
    else:
        n_layers = len(_numbered(folder, "W_enc"))
        found = [_across(folder, config, i, n_layers, reading) for i in range(n_layers)]
    found = [replace(each, model=config.model_name, details=raw) for each in found]
    if is_ungained(config.hooks(0)[0]):
        found = [with_gain(each, reading.model) for each in found]
    return tuple(found)


def _config(path: Path) -> tuple[dict[str, Any], _Config]:
    try:
        raw = yaml.safe_load(read_bytes(path, max_bytes=MAX_BYTES))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"{path} is not YAML that can be read: {printable(str(error), 200)}") from None
    if not isinstance(raw, dict):
        raise FileError(f"{path} must hold names and their values, not a {type(raw).__name__}")
    config = validated(_Config, raw, what=f"{path} can't be used")
    for hook in config.hooks(0):
        if site_of(hook) is None:
            raise FileError(f"{path}: {printable(hook, 80)!r} is no site of ours")
    return raw, config


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """The files of a set, one for each layer from 0.

    Raises:
        FileError: One is missing.
    """
    names = (re.fullmatch(rf"{prefix}_(\d{{1,4}})\.safetensors", path.name) for path in folder.iterdir())
    layers = {int(match[1]) for match in names if match}
    n_layers = max(layers, default=0) + 1
    if missing := [f"{prefix}_{i}.safetensors" for i in range(n_layers) if i not in layers]:
        raise FileError(f"{folder} must hold a file for each layer from 0: {', '.join(missing[:3])} is missing")
    return [folder / f"{prefix}_{i}.safetensors" for i in range(n_layers)]


def _sites(config: _Config, layer: int) -> tuple[Site, Site]:
    reads, writes = (site_of(hook) for hook in config.hooks(layer))
    assert reads is not None and writes is not None  # the config was checked
    return reads, writes


def _transcoder(path: Path, config: _Config, layer: int, reading: Reading) -> Dictionary:
    """One layer's transcoder."""
    tensors = read_safetensors(path, reading.dtype, leave="W_dec")
    encoder, (reads, writes) = tensors.matrix("W_enc"), _sites(config, layer)
    n, d = encoder.shape
    b_dec = tensors.get("b_dec", ("d",))
    return Dictionary(
        name=f"{reading.name}/{path.stem}",
        reads=reads,
        writes=(writes,),
        encoder=encoder,
        b_enc=tensors.get("b_enc", (n,)),
        decoder=LazyRows.of(path, "W_dec", (n, len(b_dec)), reading.dtype),
        b_dec=b_dec[None],
        activation=_activation(tensors, config, n, THRESHOLD),
        skip=tensors.get("W_skip", (len(b_dec), d)) if "W_skip" in tensors else None,
    )


def _across(folder: Path, config: _Config, layer: int, n_layers: int, reading: Reading) -> Dictionary:
    """One layer of a cross-layer transcoder."""
    tensors = read_safetensors(folder / f"W_enc_{layer}.safetensors", reading.dtype)
    encoder, (reads, writes) = tensors.matrix(f"W_enc_{layer}"), _sites(config, layer)
    n, d = encoder.shape
    n_writes, b_dec = n_layers - layer, tensors.get(f"b_dec_{layer}", (d,))
    path = folder / f"W_dec_{layer}.safetensors"
    return Dictionary(
        name=f"{reading.name}/layer_{layer}",
        reads=reads,
        writes=tuple(Site(layer + i, writes.kind) for i in range(n_writes)),
        encoder=encoder,
        b_enc=tensors.get(f"b_enc_{layer}", (n,)),
        decoder=LazyRows.of(path, f"W_dec_{layer}", (n, n_writes, d), reading.dtype),
        b_dec=torch.cat([b_dec[None], b_dec.new_zeros(n_writes - 1, d)]),
        activation=_activation(tensors, config, n, f"threshold_{layer}"),
    )


def _activation(tensors: Tensors, config: _Config, n: int, threshold: str) -> Activation:
    if config.activation == "topk":
        if config.k is None or config.k > n:
            raise FileError(f"{tensors.path.parent / CONFIG} must say k for topk, from 1 to {n:,}, not {config.k}")
        return TopK(config.k)
    return JumpReLU(tensors.get(threshold, (n,))) if threshold in tensors else ReLU()


def _elsewhere(folder: Path, config: _Config, layer: int, place: str, reading: Reading) -> Dictionary:
    """A layer's transcoder in a file that the config names: of this format, or of Gemma Scope."""
    path = file_of(place, folder)
    reads, writes = _sites(config, layer)
    if path.suffix == ".npz":
        found = read_npz(path, reading, reads)
    elif "w_enc" in keys_of(path):
        found = read_params(path, reading, reads, config.model_name)
    else:
        return _transcoder(path, config, layer, reading)
    return replace(found, name=f"{reading.name}/layer_{layer}", writes=(writes, *found.writes[1:]))


def _write(dictionaries: Sequence[Dictionary], folder: Path) -> None:
    found = [taking_off_b_dec(each, False) for each in sorted(dictionaries, key=lambda each: each.reads)]
    kind = _kind(found)
    for i, dictionary in enumerate(found):
        if kind == "transcoder_set":
            write_safetensors(folder / f"layer_{i}.safetensors", _tensors(dictionary))
            continue
        write_safetensors(folder / f"W_enc_{i}.safetensors", _encoder_tensors(dictionary, i))
        write_safetensors(folder / f"W_dec_{i}.safetensors", {f"W_dec_{i}": dictionary.decoder[:]})
    content = yaml.safe_dump(_written_config(found[0], kind), sort_keys=False)
    write_atomically(folder / CONFIG, content.encode())


def _tensors(dictionary: Dictionary) -> dict[str, Tensor]:
    found = {"W_enc": dictionary.encoder, "W_dec": dictionary.decoder[:][:, 0]}
    found |= {"b_enc": dictionary.b_enc, "b_dec": dictionary.b_dec[0]}
    if isinstance(dictionary.activation, JumpReLU):
        found[THRESHOLD] = dictionary.activation.threshold.expand(dictionary.n_features)
    return found if dictionary.skip is None else found | {"W_skip": dictionary.skip}


def _encoder_tensors(dictionary: Dictionary, layer: int) -> dict[str, Tensor]:
    found = {f"W_enc_{layer}": dictionary.encoder, f"b_enc_{layer}": dictionary.b_enc}
    found[f"b_dec_{layer}"] = dictionary.b_dec[0]
    if isinstance(dictionary.activation, JumpReLU):
        found[f"threshold_{layer}"] = dictionary.activation.threshold.expand(dictionary.n_features)
    return found


def _written_config(first: Dictionary, kind: str) -> dict[str, Any]:
    own = {key: value for key, value in (first.details or {}).items() if key not in ("transcoders", "activation", "k")}
    inputs, outputs = (hook_of(site).split(".", 2)[2] for site in (first.reads, first.writes[0]))
    settled = {
        "model_name": first.model,
        "model_kind": kind,
        "feature_input_hook": inputs,
        "feature_output_hook": outputs,
    }
    top = {"activation": "topk", "k": first.activation.k} if isinstance(first.activation, TopK) else {}
    return own | settled | top


def _kind(found: Sequence[Dictionary]) -> str:
    """What a set is.

    Raises:
        FileError: circuit-tracer can't hold it.
    """
    n, first = len(found), found[0] if found else None
    if first is None or [each.reads for each in found] != [Site(i, first.reads.kind) for i in range(n)]:
        raise FileError("circuit-tracer holds a transcoder for every layer from 0, all of one kind of site")
    kinds = {(type(each.activation), getattr(each.activation, "k", None)) for each in found}
    if len(kinds) > 1 or not isinstance(first.activation, ReLU | JumpReLU | TopK):
        raise FileError("circuit-tracer holds transcoders with ReLU, JumpReLU or TopK, all with the same")
    if any(each.normalization is not None for each in found):
        raise FileError("circuit-tracer can't hold transcoders that normalise tokens")
    for kind, n_writes in (("transcoder_set", [1] * n), ("cross_layer_transcoder", list(range(n, 0, -1)))):
        wanted = [[Site(i + j, first.writes[0].kind) for j in range(m)] for i, m in enumerate(n_writes)]
        if [list(each.writes) for each in found] == wanted:
            _check_across(found, kind)
            return kind
    raise FileError("circuit-tracer's transcoders write at their own layer, or at that and at all later ones")


def _check_across(found: Sequence[Dictionary], kind: str) -> None:
    """Refuse what its cross-layer transcoders can't hold."""
    if kind == "transcoder_set":
        return
    if any(each.skip is not None or isinstance(each.activation, TopK) or each.b_dec[1:].any() for each in found):
        raise FileError("circuit-tracer's cross-layer transcoders have no skip, TopK, or b_dec for later layers")


FORMAT = Format(
    name="circuit-tracer",
    summary="circuit-tracer: a transcoder for every layer (transcoder_set), or a cross-layer transcoder",
    files=CONFIG,
    recognises=lambda folder: (folder / CONFIG).is_file(),
    read=_read,
    write=_write,
)
