"""Gemma Scope 1: a folder with params.npz; its repository's and folders' names say the rest.

    W_enc [d n], W_dec [n d], b_enc [n], b_dec [d], threshold [n]: JumpReLU, without b_dec on the input

`google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71` is an SAE of the residual stream; `-att` of the heads'
outputs, `-mlp` of what the MLP writes, and `-transcoders` read what it reads before the norm's gain. SAEs of the
embedding were trained on it without the factor sqrt(d) by which Gemma multiplies it.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from acdc.errors import FileError
from acdc.features.activations import JumpReLU
from acdc.features.dictionary import Dictionary
from acdc.features.formats.folding import scaled, with_gain
from acdc.features.formats.format import Format, Reading
from acdc.features.formats.npz import MappedRows, read_arrays
from acdc.features.formats.tensors import Tensors
from acdc.features.sites import Site

__all__ = ["FORMAT", "read_npz"]

WEIGHTS = "params.npz"
KINDS = {"res": "resid_post", "att": "z", "mlp": "mlp_out", "transcoders": "mlp_in"}
REPOSITORY = re.compile(r"gemma-scope-(\d+b)-(pt|it)-(res|att|mlp|transcoders)")
LAYER = re.compile(r"layer_(\d{1,4})\b")


def _read(folder: Path, reading: Reading) -> tuple[Dictionary]:
    where = f"{folder.resolve().as_posix()}/{reading.name}"
    told, repository = _told(where), REPOSITORY.search(where)
    if told is not None and reading.site not in (None, told):
        raise FileError(f"dictionary {reading.name!r} is of the site {told}, not {reading.site}")
    if (site := told or reading.site) is None:
        raise FileError(
            f"{reading.name!r} doesn't say its site: keep the names of its folders, like "
            "gemma-scope-2b-pt-res/layer_20/..., or give it: site='resid_post.20'"
        )
    model = "" if repository is None else f"google/gemma-2-{repository[1]}{'-it' if repository[2] == 'it' else ''}"
    found = replace(read_npz(folder / WEIGHTS, reading, site), model=model)
    if "/embedding/" in where and told is not None:
        return (scaled(found, found.d_in**-0.5),)
    return (with_gain(found, reading.model) if told is not None and site.kind == "mlp_in" else found,)


def _told(where: str) -> Site | None:
    """The site that the names of folders say."""
    repository, layer = REPOSITORY.search(where), LAYER.search(where)
    if repository is None:
        return None
    if "/embedding/" in where:
        return Site(0, "resid_pre")
    return None if layer is None else Site(int(layer[1]), KINDS[repository[3]])


def read_npz(path: Path, reading: Reading, site: Site) -> Dictionary:
    """The dictionary of a file: a transcoder where it reads what the MLP reads, or else an SAE.

    Raises:
        FileError: It is damaged, holds objects, or lacks a tensor.
    """
    arrays = read_arrays(path)
    mapped = arrays.pop("W_dec", None) if isinstance(arrays.get("W_dec"), np.memmap) else None
    tensors = Tensors(path, {name: torch.from_numpy(array) for name, array in arrays.items()}, reading.dtype)
    encoder = tensors.matrix("W_enc").T.contiguous()
    n, d = encoder.shape
    if mapped is not None and mapped.shape != (n, d):
        raise FileError(f"{path}: W_dec has the shape {list(mapped.shape)}, not [{n}, {d}]")
    return Dictionary(
        name=reading.name,
        reads=site,
        writes=(Site(site.layer, "mlp_out") if site.kind == "mlp_in" else site,),
        encoder=encoder,
        b_enc=tensors.get("b_enc", (n,)),
        decoder=tensors.get("W_dec", (n, d))[:, None] if mapped is None else MappedRows(path, mapped, reading.dtype),
        b_dec=tensors.get("b_dec", (d,))[None],
        activation=JumpReLU(tensors.get("threshold", (n,))),
    )


FORMAT = Format(
    name="gemma-scope",
    summary="Gemma Scope 1 (Gemma 2): JumpReLU SAEs, transcoders",
    files=WEIGHTS,
    patterns=(WEIGHTS,),
    recognises=lambda folder: (folder / WEIGHTS).is_file(),
    read=_read,
)
