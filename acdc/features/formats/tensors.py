"""Tensors of a dictionary's file, checked before anything is made of them: there, of the right shape, and finite."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acdc.errors import FileError, printable
from acdc.files import write_atomically

__all__ = ["DTYPES", "LazyRows", "Tensors", "keys_of", "read_safetensors", "write_safetensors"]

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Tensors:
    """The tensors of a file by their names.

    Attributes:
        path: The file, for messages.
        dtype: What they are turned into as they are asked for; None for float32, or float64 where they are that.
    """

    path: Path
    found: Mapping[str, Tensor]
    dtype: torch.dtype | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def get(self, name: str, shape: Sequence[int | str] | None = None) -> Tensor:
        """A tensor.

        Args:
            shape: What it must have; a letter stands for any size.

        Raises:
            FileError: It isn't there, has another shape, holds whole numbers, or one that isn't finite.
        """
        if name not in self.found:
            raise FileError(f"{self.path} holds no tensor {name!r}; it has {printable(', '.join(self.found), 200)}")
        tensor = self.found[name]
        if shape is not None and not _fits(tensor.shape, shape):
            raise FileError(f"{self.path}: {name} has the shape {list(tensor.shape)}, not {_worded(shape)}")
        return as_weights(tensor, self.dtype, f"{self.path}: {name}")

    def matrix(self, name: str) -> Tensor:
        """A tensor of two dimensions."""
        return self.get(name, ("n", "d"))


def as_weights(tensor: Tensor, dtype: torch.dtype | None, where: str) -> Tensor:
    """A tensor as weights.

    Raises:
        FileError: It holds whole numbers, or one that isn't finite.
    """
    if not tensor.is_floating_point():
        raise FileError(f"{where} holds whole numbers ({str(tensor.dtype).removeprefix('torch.')}), not weights")
    if not torch.isfinite(tensor).all():
        n = int((~torch.isfinite(tensor)).sum())
        raise FileError(
            f"{where} holds {n:,} numbers that are NaN or infinite: the file is damaged, or training failed"
        )
    return tensor.to(dtype or (tensor.dtype if tensor.dtype == torch.float64 else torch.float32)).contiguous()


def _fits(found: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(found) == len(wanted) and all(isinstance(w, str) or w == n for n, w in zip(found, wanted, strict=True))


def _worded(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


@dataclass(frozen=True)
class LazyRows:
    """A decoder in a safetensors file, `[n d]` or `[n writes d]`: its rows are read when they are asked for.

    Attributes:
        first: The first of a row's sites that is read.
    """

    path: Path
    name: str
    shape: torch.Size
    dtype: torch.dtype | None = None
    first: int = 0

    @classmethod
    def of(
        cls, path: Path, name: str, shape: Sequence[int | str], dtype: torch.dtype | None, *, first: int = 0
    ) -> "LazyRows":
        """The rows of a tensor of this shape.

        Raises:
            FileError: It isn't there, or has another shape.
        """
        with _opened(path) as file:
            if name not in file.keys():  # noqa: SIM118  # not a dict
                raise FileError(f"{path} holds no tensor {name!r}; it has {printable(', '.join(file.keys()), 200)}")
            found = file.get_slice(name).get_shape()
        if not _fits(found, shape):
            raise FileError(f"{path}: {name} has the shape {found}, not {_worded(shape)}")
        n, *between, d = found
        if between and not 0 <= first < between[0]:
            raise FileError(f"{path}: {name} has rows for {between[0]} layers, and is of layer {first}, counted from 0")
        return cls(path, name, torch.Size((n, between[0] - first if between else 1, d)), dtype, first)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        with _opened(self.path) as file:
            stored = file.get_slice(self.name)
            slices = [index] if isinstance(index, slice) else [slice(i, i + 1) for i in index.tolist()]
            rows = [stored[each] for each in slices] or [stored[0:0]]
        found = torch.cat([each[:, self.first :] if each.ndim == 3 else each[:, None] for each in rows])
        return as_weights(found, self.dtype, f"{self.path}: {self.name}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file; what is wrong with it as a `FileError`."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileError(f"there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        why = printable(str(error), 200)
        raise FileError(f"{path} is damaged or cut off ({why}); download or save it again") from None


def keys_of(path: Path) -> frozenset[str]:
    """The names of a safetensors file's tensors; none where it isn't one."""
    try:
        with _opened(path) as file:
            return frozenset(file.keys())
    except FileError:
        return frozenset()


def read_safetensors(path: Path, dtype: torch.dtype | None = None, *, leave: str | None = None) -> Tensors:
    """The tensors of a file.

    Args:
        leave: One that isn't read.

    Raises:
        FileError: There is no such file, or it is damaged.
    """
    with _opened(path) as file:
        return Tensors(path, {name: file.get_tensor(name) for name in file.keys() if name != leave}, dtype)  # noqa: SIM118


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors whole or not at all.

    Raises:
        FileError: The file can't be written.
    """
    from safetensors.torch import save

    write_atomically(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
