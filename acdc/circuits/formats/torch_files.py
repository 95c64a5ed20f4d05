"""Torch files of tensors and plain values: nothing else is ever read from one."""

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from acdc.errors import CircuitError, printable
from acdc.files import write_atomically

__all__ = ["is_torch_file", "load_plain", "save_plain"]

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # how torch's files start
MAX_BYTES = 2**31  # of a torch file's content, unpacked


def is_torch_file(content: bytes) -> bool:
    """Whether the content starts as `torch.save` writes it."""
    return content.startswith((ZIP, LEGACY))


def load_plain(content: bytes, *, max_bytes: int | None = None) -> Any:
    """Tensors and plain values of a torch file; never an object, whose making could run code.

    Args:
        max_bytes: Of its content, unpacked; `MAX_BYTES` if None.
    """
    _check_size(content, MAX_BYTES if max_bytes is None else max_bytes)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own doubts about a file; what it refuses, it raises
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can fail anywhere
        raise CircuitError(
            f"can't be read as tensors and plain values, and nothing else of a torch file is read{_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    """What torch says is wrong with a file, without its advice, which is about loading models."""
    text = re.sub(r"\x1b\[\d*m", " ", str(error))
    if named := re.search(r"GLOBAL (\S+)", text):
        return f": it holds an object of {printable(named[1], 80)!r}"
    if "weights_only" in text or isinstance(error, pickle.UnpicklingError):
        return ": it holds an object, or is damaged"
    return f": it is damaged ({type(error).__name__})"


def _check_size(content: bytes, max_bytes: int) -> None:
    """Refuse a zip that would unpack to more than is held, before anything is unpacked."""
    if not content.startswith(ZIP):
        return
    try:
        size = sum(entry.file_size for entry in zipfile.ZipFile(io.BytesIO(content)).infolist())
    except Exception:  # zipfile, too, fails in many ways on a damaged file
        raise CircuitError("is damaged: it is not a whole zip file, as torch's files are") from None
    if size > max_bytes:
        raise CircuitError(f"unpacks to {size:,} bytes, more than the {max_bytes:,} that are read")


def save_plain(value: Any, path: Path) -> Path:
    """Write tensors and plain values, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return write_atomically(path, buffer.getvalue())
