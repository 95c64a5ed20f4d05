"""circuit-tracer's sets of transcoders: a folder with config.yaml and a file for each layer.

    transcoder_set            layer_{i}.safetensors: W_enc [n d], W_dec [n d], b_enc, b_dec,
                              activation_function.threshold [n]?, W_skip [d d]?
    cross_layer_transcoder    W_enc_{i}.safetensors: W_enc_{i} [n d], b_enc_{i}, b_dec_{i}, threshold_{i}?
                              and W_skip_{i} [d d]?, which is multiplied from the right, other than a set's W_skip
                              W_dec_{i}.safetensors: W_dec_{i} [n n_layers-i d]

config.yaml says by TransformerLens's names what is read and written; its `transcoders`, if it has them, are files
elsewhere, some of them Gemma Scope's in another repository. Decoders stay in their files: rows are read when they are
asked for. `b_dec` of a layer of a cross-layer transcoder is added once, at that layer. Where one layer's site is asked
for, no other layer's file is read or downloaded.
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
from acdc.features.formats.hooks import check_place, hook_of, is_ungained, site_of
from acdc.features.formats.source import files_of
from acdc.features.formats.tensors import LazyRows, Tensors, keys_of, read_safetensors, write_safetensors
from acdc.features.sites import Site
from acdc.files import read_bytes, validated, write_atomically

__all__ = ["FORMAT"]

CONFIG = "config.yaml"
MAX_BYTES = 2**20
THRESHOLD = "activation_function.threshold"
K_OF = {"facebook/crv-8b-instruct-transcoders": 128}  # its config doesn't say it, and circuit-tracer's code does


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
    for hook in config.hooks(0):
        check_place(hook, reading.model, f"dictionary {reading.name!r}")
    only = _only(config, reading)
    if config.transcoders is not None:
        places = dict(enumerate(dict.fromkeys(config.transcoders)))  # some configs name the last file twice
        wanted = _wanted(places, only, reading)
        paths = dict(zip(wanted, files_of(list(wanted.values()), folder), strict=True))
        found = [_elsewhere(path, config, i, reading) for i, path in paths.items()]
    elif config.model_kind == "transcoder_set":
        found = [_transcoder(path, config, i, reading) for i, path in _numbered(folder, "layer", only, reading).items()]
    else:
        layers = _numbered(folder, "W_enc", only, reading)
        n_layers = len(layers) if only is None else None
        found = [_across(folder, config, i, n_layers, reading) for i in layers]
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


def _only(config: _Config, reading: Reading) -> int | None:
    """The only layer that is read; None where all are.

    Raises:
        FileError: No layer reads the site that is asked for.
    """
    if reading.site is None:
        return None
    if (reads := _sites(config, reading.site.layer)[0]) != reading.site:
        raise FileError(f"{reading.name!r} holds transcoders that read {reads.kind}, and none reads {reading.site}")
    return reading.site.layer


def _numbered(folder: Path, prefix: str, only: int | None, reading: Reading) -> dict[int, Path]:
    """The files of a set by their layers, one for each from 0, or that of the only one that is read.

    Raises:
        FileError: One is missing.
    """
    names = (re.fullmatch(rf"{prefix}_(\d{{1,4}})\.safetensors", path.name) for path in folder.iterdir())
    layers = {int(match[1]): folder / match[0] for match in names if match}
    if only is not None:
        return _wanted(layers, only, reading)
    n_layers = max(layers, default=0) + 1
    if missing := [f"{prefix}_{i}.safetensors" for i in range(n_layers) if i not in layers]:
        raise FileError(f"{folder} must hold a file for each layer from 0: {', '.join(missing[:3])} is missing")
    return dict(sorted(layers.items()))


def _wanted(layers: dict[int, Any], only: int | None, reading: Reading) -> dict[int, Any]:
    """What is read of the layers' files.

    Raises:
        FileError: There is none of the only layer.
    """
    if only is not None and only not in layers:
        has = f"its layers are {min(layers)} to {max(layers)}" if layers else "it has none of that layer"
        raise FileError(f"{reading.name!r} holds nothing that reads {reading.site}: {has}")
    return layers if only is None else {only: layers[only]}


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
        activation=_activation(tensors, config, n, THRESHOLD, reading),
        skip=tensors.get("W_skip", (len(b_dec), d)) if "W_skip" in tensors else None,
    )


def _across(folder: Path, config: _Config, layer: int, n_layers: int | None, reading: Reading) -> Dictionary:
    """One layer of a cross-layer transcoder, of so many layers, or of as many as it has rows for."""
    tensors = read_safetensors(folder / f"W_enc_{layer}.safetensors", reading.dtype)
    encoder, (reads, writes) = tensors.matrix(f"W_enc_{layer}"), _sites(config, layer)
    n, d = encoder.shape
    b_dec, skip = tensors.get(f"b_dec_{layer}", (d,)), f"W_skip_{layer}"
    shape = (n, "n_layers" if n_layers is None else n_layers - layer, d)
    decoder = LazyRows.of(folder / f"W_dec_{layer}.safetensors", f"W_dec_{layer}", shape, reading.dtype)
    n_writes = decoder.shape[1]
    return Dictionary(
        name=f"{reading.name}/layer_{layer}",
        reads=reads,
        writes=tuple(Site(layer + i, writes.kind) for i in range(n_writes)),
        encoder=encoder,
        b_enc=tensors.get(f"b_enc_{layer}", (n,)),
        decoder=decoder,
        b_dec=torch.cat([b_dec[None], b_dec.new_zeros(n_writes - 1, d)]),
        activation=_activation(tensors, config, n, f"threshold_{layer}", reading),
        skip=tensors.get(skip, (d, d)).T.contiguous() if skip in tensors else None,
    )


def _activation(tensors: Tensors, config: _Config, n: int, threshold: str, reading: Reading) -> Activation:
    if config.activation == "topk":
        k = config.k or K_OF.get(reading.name.partition("@")[0])
        if k is None or k > n:
            raise FileError(f"{tensors.path.parent / CONFIG} must say k for topk, from 1 to {n:,}, not {k}")
        return TopK(k)
    return JumpReLU(tensors.get(threshold, (n,))) if threshold in tensors else ReLU()


def _elsewhere(path: Path, config: _Config, layer: int, reading: Reading) -> Dictionary:
    """A layer's transcoder in a file that the config names: of this format, or of Gemma Scope."""
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
    return found if dictionary.skip is None else found | {f"W_skip_{layer}": dictionary.skip.T}


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
    if any(isinstance(each.activation, TopK) or each.b_dec[1:].any() for each in found):
        raise FileError("circuit-tracer's cross-layer transcoders have no TopK, and no b_dec for later layers")
    if len({each.skip is None for each in found}) > 1:
        raise FileError("circuit-tracer's cross-layer transcoders have skips in all layers, or in none")


FORMAT = Format(
    name="circuit-tracer",
    summary="circuit-tracer: a transcoder for every layer (transcoder_set), or a cross-layer transcoder",
    files=CONFIG,
    patterns=(CONFIG, *(f"{name}_{{layer}}.safetensors" for name in ("layer", "W_enc", "W_dec"))),
    recognises=lambda folder: (folder / CONFIG).is_file(),
    read=_read,
    write=_write,
)
