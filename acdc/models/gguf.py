"""GGUF files, llama.cpp's format: unpacked once by transformers' own reader, and kept as a Hugging Face folder.

Unpacked weights are float32, which holds what any of GGUF's packings stands for; so a folder takes up to eight times
the room of its file.
"""

import hashlib
import io
import logging
import os
from contextlib import redirect_stderr
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from filelock import FileLock
from platformdirs import user_cache_path

from acdc.errors import ModelError
from acdc.models.config_file import check_config
from acdc.models.families import family_of
from acdc.models.loading import loaded
from acdc.models.memory import check_weights, weight_bytes
from acdc.models.weights import check_fit

__all__ = ["cache_folder", "unpacked"]

MAGIC = b"GGUF"
NEEDED = "reading GGUF files needs the package gguf: pip install gguf"
logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where unpacked models are kept: `ACDC_CACHE`, or else the system's folder for caches (`~/.cache/acdc` on Linux).

    It may be deleted at any time.
    """
    return Path(os.environ.get("ACDC_CACHE") or user_cache_path("acdc")).expanduser()


def unpacked(path: Path) -> Path:
    """The Hugging Face folder of a GGUF file's model; the first call makes it, with the tokenizer.

    It is kept under the file's SHA-256 and the version of transformers that read it.

    Raises:
        ModelError: It is no GGUF file, damaged, of a family that can't be read, or too large for the memory; the
            package gguf is missing; or the cache can't be written.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ModelError(f"{str(path)!r} is no GGUF file")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        folder = cache_folder() / "gguf" / f"{digest}-transformers-{version('transformers')}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                part = folder.with_name(f"{folder.name}.part")
                rmtree(part, ignore_errors=True)  # of a process that was killed
                _unpack(path, part)
                part.rename(folder)
    except OSError as error:
        raise ModelError(f"model {str(path)!r} can't be unpacked: {error}") from error
    return folder


def _unpack(path: Path, folder: Path) -> None:
    """Save the file's model to a folder."""
    if find_spec("gguf") is None:
        raise ModelError(NEEDED)
    import transformers

    logger.info("%s is unpacked, which is done once", path)
    place: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    config = loaded(str(path), lambda: transformers.AutoConfig.from_pretrained(**place))
    check_config(config.to_dict(), str(path))
    loaded(str(path), lambda: family_of(config))
    check_weights(path.name, weight_bytes(config, torch.float32), torch.float32, [torch.device("cpu")])
    tokenizer = loaded(str(path), lambda: transformers.AutoTokenizer.from_pretrained(**place))
    with redirect_stderr(io.StringIO()):  # transformers draws bars there, whatever it's told
        hf, info = loaded(
            str(path),
            lambda: transformers.AutoModelForCausalLM.from_pretrained(
                **place,
                dtype=torch.float32,
                **_dense(),
                output_loading_info=True,
            ),
        )
        check_fit(str(path), hf, info)
        _call_it_plain(hf)
        hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _dense() -> dict[str, Any]:
    """What asks transformers for plain weights; versions that don't know of it know no others."""
    import transformers

    known = hasattr(transformers, "GgufConfig")
    return {"quantization_config": transformers.GgufConfig(dequantize=True)} if known else {}


def _call_it_plain(hf: Any) -> None:
    """Take away what transformers may leave to say that the weights are packed: they no longer are."""
    vars(hf.config).pop("quantization_config", None)
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        vars(hf).pop(name, None)
