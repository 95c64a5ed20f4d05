"""EleutherAI's sparsify: a folder for each hook point, with cfg.json and sae.safetensors.

    encoder.weight [n d], encoder.bias [n], W_dec [n d], b_dec [d], W_skip [d d]

Read by sparsify's own code: the decoder isn't transposed, and an SAE takes `b_dec` off what it reads. The folder's name
is that of a Hugging Face module, like `layers.5.mlp`; cfg.json's `hookpoint` says it where we write one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from acdc.errors import FileError
from acdc.features.activations import GroupMax, TopK
from acdc.features.dictionary import Dictionary
from acdc.features.formats.folding import taking_off_b_dec
from acdc.features.formats.format import Format, Reading, one_of_all
from acdc.features.formats.hooks import check_place, hook_of, settled, site_of
from acdc.features.formats.tensors import read_safetensors, write_safetensors
from acdc.features.sites import Site
from acdc.files import read_json, validated, write_json

__all__ = ["FORMAT"]

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
MAX_BYTES = 2**20
READ = {"mlp_out": "mlp_in", "resid_post": "resid_pre"}  # of a transcoder: what the module reads that it is named by
Size = Annotated[int, Field(ge=1, le=2**27)]


class _Config(BaseModel):
    """The fields that decide what is computed; sparsify's default values."""

    model_config = ConfigDict(strict=True, extra="ignore")

    activation: Literal["topk", "groupmax"] = "topk"
    d_in: Size
    k: Size = 32
    expansion_factor: Size = 32
    num_latents: Annotated[int, Field(ge=0, le=2**27)] = 0
    transcode: bool = False
    skip_connection: bool = False
    signed: Literal[False] = False

    @property
    def n_features(self) -> int:
        return self.num_latents or self.d_in * self.expansion_factor


def _read(folder: Path, reading: Reading) -> tuple[Dictionary]:
    path = folder / CONFIG
    raw = read_json(path, max_bytes=MAX_BYTES)
    config = validated(_Config, raw, what=f"{path} can't be used")
    n, d = config.n_features, config.d_in
    if config.k > n or (config.activation == "groupmax" and n % config.k):
        raise FileError(f"{path} asks for k = {config.k:,} of {n:,} features ({config.activation})")
    tensors = read_safetensors(folder / WEIGHTS, reading.dtype)
    reads, writes = _sites(folder, raw, config, reading)
    return (
        Dictionary(
            name=reading.name,
            reads=reads,
            writes=(writes,),
            encoder=tensors.get("encoder.weight", (n, d)),
            b_enc=tensors.get("encoder.bias", (n,)),
            decoder=tensors.get("W_dec", (n, d))[:, None],
            b_dec=tensors.get("b_dec", (d,))[None],
            activation=TopK(config.k) if config.activation == "topk" else GroupMax(config.k),
            takes_off_b_dec=not config.transcode,
            skip=tensors.get("W_skip", (d, d)) if config.skip_connection else None,
            model=str(raw.get("model") or _run(folder).get("model") or ""),
            details={key: value for key, value in raw.items() if key not in _Config.model_fields},
        ),
    )


def _run(folder: Path) -> dict[str, Any]:
    """What the run says beside the folders, if it is there."""
    path = folder.parent / "config.json"
    found = read_json(path, max_bytes=MAX_BYTES) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _sites(folder: Path, raw: dict[str, Any], config: _Config, reading: Reading) -> tuple[Site, Site]:
    """Where it reads and writes."""
    last = reading.name.rstrip("/").rpartition("/")[2]
    names = (raw.get("hookpoint"), last, folder.name)
    told = next((name for name in names if isinstance(name, str) and site_of(name)), None)
    if not config.transcode or told is None:
        site = settled(reading.site, told, f"dictionary {reading.name!r}", reading.model)
        return site, (_written(site) if config.transcode else site)
    check_place(told, reading.model, f"dictionary {reading.name!r}")
    writes = site_of(told)
    assert writes is not None  # it was the one that has a site
    kind = READ.get(writes.kind)
    reads = settled(reading.site, None if kind is None else hook_of(Site(writes.layer, kind)), f"what {told!r} reads")
    return reads, writes


def _written(site: Site) -> Site:
    """Where a transcoder that reads here writes."""
    return Site(site.layer, next((out for out, read in READ.items() if read == site.kind), "mlp_out"))


def _write(dictionaries: Sequence[Dictionary], folder: Path) -> None:
    dictionary = one_of_all(dictionaries, "sparsify")
    _check(dictionary)
    dictionary = taking_off_b_dec(dictionary, dictionary.is_sae)
    skip = {} if dictionary.skip is None else {"W_skip": dictionary.skip}
    tensors = {
        "encoder.weight": dictionary.encoder,
        "encoder.bias": dictionary.b_enc,
        "W_dec": dictionary.decoder[:][:, 0],
        "b_dec": dictionary.b_dec[0],
    }
    write_safetensors(folder / WEIGHTS, tensors | skip)
    write_json(folder / CONFIG, _config(dictionary))


def _config(dictionary: Dictionary) -> dict[str, Any]:
    activation = dictionary.activation
    assert isinstance(activation, TopK | GroupMax)  # it was checked
    return {
        **({"model": dictionary.model} if dictionary.model else {}),
        **(dictionary.details or {}),
        "hookpoint": hook_of(dictionary.writes[0]),
        "activation": "topk" if isinstance(activation, TopK) else "groupmax",
        "num_latents": dictionary.n_features,
        "k": activation.k,
        "skip_connection": dictionary.skip is not None,
        "transcode": not dictionary.is_sae,
        "d_in": dictionary.d_in,
    }


def _check(dictionary: Dictionary) -> None:
    """Refuse what sparsify can't hold."""
    activation, problems = dictionary.activation, []
    if not isinstance(activation, TopK | GroupMax):
        problems.append(f"features of {type(activation).__name__}, only TopK and GroupMax")
    if dictionary.normalization is not None:
        problems.append("tokens that are normalised")
    if len(dictionary.writes) != 1 or dictionary.d_in != dictionary.d_out:
        problems.append("several sites, or another width there than it reads")
    if not dictionary.is_sae and READ.get(dictionary.writes[0].kind) != dictionary.reads.kind:
        problems.append(f"a transcoder from {dictionary.reads} to {dictionary.writes[0]}, only from a module's input")
    if problems:
        raise FileError(f"sparsify can't hold {' or '.join(problems)}: save {dictionary.name!r} in another format")


FORMAT = Format(
    name="sparsify",
    summary="EleutherAI's sparsify: SAEs and transcoders with topk or groupmax, with or without skip",
    files=f"{CONFIG} and {WEIGHTS}",
    patterns=(CONFIG, WEIGHTS),
    recognises=lambda folder: (folder / WEIGHTS).is_file(),
    read=_read,
    write=_write,
)
