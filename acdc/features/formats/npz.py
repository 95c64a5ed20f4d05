"""Arrays of an npz file, as numpy writes it: never an object, and one of them row by row if it isn't compressed."""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acdc.errors import FileError, printable
from acdc.features.formats.tensors import as_weights

__all__ = ["MappedRows", "read_arrays"]


@dataclass(frozen=True, eq=False)
class MappedRows:
    """A decoder `[n d]` in an npz file: its rows are read when they are asked for."""

    path: Path
    array: Any  # np.memmap
    dtype: torch.dtype | None = None

    @property
    def shape(self) -> torch.Size:
        n, d = self.array.shape
        return torch.Size((n, 1, d))

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        rows = self.array[index if isinstance(index, slice) else index.cpu().numpy()]
        return as_weights(torch.from_numpy(np.array(rows)), self.dtype, f"{self.path}: W_dec")[:, None]


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays, by names in capital letters where some files have small ones; `W_dec` as it lies in the file.

    Raises:
        FileError: It is damaged, or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            mapped = {name: _mapped(path, f"{name}.npy") for name in file.files if name.lower() == "w_dec"}
            whole = {name: file[name] for name in file.files if mapped.get(name) is None}
    except Exception as error:  # zipfile and numpy fail in many ways on a damaged file
        why = printable(str(error), 200) or type(error).__name__
        raise FileError(f"{path} can't be read as arrays of numbers, and nothing else of it is read ({why})") from None
    found = whole | {name: array for name, array in mapped.items() if array is not None}
    return {name.replace("w_", "W_"): array for name, array in found.items()}


def _mapped(path: Path, member: str) -> Any:
    """An array of the file without its being read; None if it is compressed, or is none of numbers in rows."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        found = archive.getinfo(member)
        if found.compress_type != zipfile.ZIP_STORED:
            return None
        file.seek(found.header_offset + 26)  # where its own header says how long its name and its extra field are
        file.seek(found.header_offset + 30 + sum(struct.unpack("<HH", file.read(4))))
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
        if columns_first or dtype.kind != "f" or len(shape) != 2:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape)
