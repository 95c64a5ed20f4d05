"""Gemma Scope 2: a folder with params.safetensors, or params_layer_N.safetensors for each layer of a cross-layer
transcoder; config.json says where it reads and writes, or else the folders' names.

    w_enc [d n], w_dec [n d], b_enc [n], b_dec [d], threshold [n], affine_skip_connection [d_in d_out]
    cross-layer: w_dec [n n_layers d]

JumpReLU, without b_dec on the input. A feature writes at its own layer's MLP and at later ones; what a file holds for
earlier ones isn't read.
"""

import re
from pathlib import Path
from typing import Any

import torch

from acdc.errors import FileError
from acdc.features.activations import JumpReLU
from acdc.features.dictionary import Dictionary, Rows
from acdc.features.formats.format import Format, Reading
from acdc.features.formats.hooks import hook_of, settled
from acdc.features.formats.tensors import LazyRows, read_safetensors
from acdc.features.sites import Site
from acdc.files import read_json

__all__ = ["FORMAT", "read_params"]

WEIGHTS, CONFIG = "params.safetensors", "config.json"
MAX_BYTES = 2**20
LAYERS = re.compile(r"params_layer_(\d{1,4})\.safetensors")
KINDS = {"resid_post": "resid_post", "attn_out": "z", "mlp_out": "mlp_out", "transcoder": "mlp_in", "clt": "mlp_in"}


def _layers(folder: Path) -> dict[int, Path]:
    """The files of a cross-layer transcoder by their layers."""
    found = ((LAYERS.fullmatch(path.name), path) for path in folder.glob("params_layer_*.safetensors"))
    return {int(match[1]): path for match, path in found if match}


def _recognises(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file() or bool(_layers(folder))


def _read(folder: Path, reading: Reading) -> tuple[Dictionary, ...]:
    config = _config(folder)
    model = str(config.get("model_name") or "")
    if not (folder / WEIGHTS).is_file():
        sites = {Site(i, "mlp_in"): path for i, path in sorted(_layers(folder).items())}
        asked = [reading.site] if reading.site in sites else sites
        return tuple(read_params(sites[site], reading, site, model) for site in asked)
    told = config.get("hf_hook_point_in") or _hook_by_name(f"{folder.resolve().as_posix()}/{reading.name}")
    site = settled(reading.site, told, f"dictionary {reading.name!r}", reading.model)
    return (read_params(folder / WEIGHTS, reading, site, model),)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = read_json(path, max_bytes=MAX_BYTES) if path.is_file() else {}
    if not isinstance(config, dict) or config.get("architecture", "jump_relu") != "jump_relu":
        raise FileError(f"{path} must say the architecture 'jump_relu': no other is read here")
    return config


def _hook_by_name(where: str) -> str | None:
    """The site that the names of folders say, in another tool's words."""
    kinds, layers = re.findall("|".join(KINDS), where), re.findall(r"layer_(\d{1,4})", where)
    return hook_of(Site(int(layers[-1]), KINDS[kinds[-1]])) if kinds and layers else None


def read_params(path: Path, reading: Reading, site: Site, model: str) -> Dictionary:
    """The dictionary of a file: a transcoder where it reads what the MLP reads, or else an SAE.

    Raises:
        FileError: It is damaged, or lacks a tensor.
    """
    tensors = read_safetensors(path, reading.dtype, leave="w_dec")
    encoder = tensors.matrix("w_enc").T.contiguous()
    n, d = encoder.shape
    b_dec = tensors.get("b_dec", ("d",))
    writes, decoder = _decoder(path, reading, site, n, len(b_dec))
    skip = tensors.get("affine_skip_connection", (d, len(b_dec))) if "affine_skip_connection" in tensors else None
    return Dictionary(
        name=f"{reading.name}/{path.stem}" if LAYERS.fullmatch(path.name) else reading.name,
        reads=site,
        writes=writes,
        encoder=encoder,
        b_enc=tensors.get("b_enc", (n,)),
        decoder=decoder,
        b_dec=torch.cat([b_dec[None], b_dec.new_zeros(len(writes) - 1, len(b_dec))]),
        activation=JumpReLU(tensors.get("threshold", (n,))),
        skip=None if skip is None else skip.T.contiguous(),
        model=model,
    )


def _decoder(path: Path, reading: Reading, site: Site, n: int, d_out: int) -> tuple[tuple[Site, ...], Rows]:
    """Where it writes, and its rows, which are read when they are asked for."""
    out = Site(site.layer, "mlp_out") if site.kind == "mlp_in" else site
    if LAYERS.fullmatch(path.name) is None:
        return (out,), LazyRows.of(path, "w_dec", (n, d_out), reading.dtype)
    rows = LazyRows.of(path, "w_dec", (n, "n_layers", d_out), reading.dtype, first=site.layer)
    return tuple(Site(site.layer + i, "mlp_out") for i in range(rows.shape[1])), rows


FORMAT = Format(
    name="gemma-scope-2",
    summary="Gemma Scope 2 (Gemma 3): JumpReLU SAEs, transcoders with or without skip, cross-layer transcoders",
    files=f"{WEIGHTS} or params_layer_0.safetensors",
    patterns=(CONFIG, WEIGHTS, "params_layer_{layer}.safetensors"),
    recognises=_recognises,
    read=_read,
)
