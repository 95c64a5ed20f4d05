"""A reading in one file, read again without the model: an .npz of numbers, and JSON for its words."""

import io
import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from acdc.errors import FileError
from acdc.features.reading.record import About, Examples, FeatureReading
from acdc.features.reading.slices import WIDTH
from acdc.features.reading.weights import Ranked
from acdc.files import as_dataclass, parse_json, read_bytes, write_atomically

__all__ = ["about_of", "load_reading", "save_reading"]

MAX_BYTES = 2**34
VERSION = 1
SHAPES = {  # by the letters of axes; the sizes that are the same must be the same
    "ids": "wc",
    "histogram": "nb",
    "total": "n",
    "top_where": "nt",
    "top_acts": "ntx",
    "examples_where": "ne",
    "examples_acts": "nex",
    "fired": "nf",
    "probes": "m",
    "active": "mn",
    "raises": "nr",
    "raises_logits": "nr",
    "lowers": "nl",
    "lowers_logits": "nl",
    "near": "nk",
    "near_cosines": "nk",
}


def save_reading(reading: FeatureReading, path: str | os.PathLike[str]) -> Path:
    """Write it; an interrupted write leaves the old file whole.

    Raises:
        FileError: The file can't be written.
    """
    words = {"version": VERSION, "about": asdict(reading.about), "names": [*map(list, reading.names.items())]}
    content = io.BytesIO()
    text = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
    np.savez_compressed(content, words=text, **_arrays(reading))
    return write_atomically(path, content.getvalue())


def _arrays(reading: FeatureReading) -> dict[str, Any]:
    return {
        "ids": reading.ids,
        "histogram": reading.histogram,
        "total": reading.total,
        "top_where": reading.top.where,
        "top_acts": reading.top.acts,
        "examples_where": reading.examples.where,
        "examples_acts": reading.examples.acts,
        "fired": reading.fired,
        "probes": reading.probes,
        "active": reading.active,
        "raises": reading.raises.which,
        "raises_logits": reading.raises.value,
        "lowers": reading.lowers.which,
        "lowers_logits": reading.lowers.value,
        "near": reading.near.which,
        "near_cosines": reading.near.value,
    }


def load_reading(path: str | os.PathLike[str]) -> FeatureReading:
    """Read it; nothing in the file is ever run.

    Raises:
        FileError: It isn't there, or is no such file, or a damaged one.
    """
    content = read_bytes(path, max_bytes=MAX_BYTES)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            held = {name: file[name] for name in ("words", *SHAPES)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path} is no reading of features, or a damaged one; make it anew ({error})") from None
    words, about = _words(held.pop("words"), path)
    _check(held, path)
    names = _named(words.get("names"), path)
    _check_names(held, names, path)
    return FeatureReading(
        about=about,
        ids=held["ids"],
        histogram=held["histogram"],
        total=held["total"],
        top=Examples(held["top_where"], held["top_acts"]),
        examples=Examples(held["examples_where"], held["examples_acts"]),
        fired=held["fired"],
        probes=held["probes"],
        active=held["active"],
        raises=Ranked(held["raises"], held["raises_logits"]),
        lowers=Ranked(held["lowers"], held["lowers_logits"]),
        near=Ranked(held["near"], held["near_cosines"]),
        names=names,
    )


def about_of(path: str | os.PathLike[str]) -> About:
    """What was read, and on what; the rest of the file is left alone.

    Raises:
        FileError: As `load_reading`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return _words(file["words"], path)[1]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path} is no reading of features, or a damaged one; make it anew ({error})") from None


def _words(text: np.ndarray, path: Any) -> tuple[dict[str, Any], About]:
    """What a file says of itself, of which `About` is a part."""
    try:
        words = parse_json(text.tobytes())
    except FileError as error:
        raise FileError(f"{path}: what it says of itself {error}") from None
    if not isinstance(words, dict) or words.get("version") != VERSION:
        raise FileError(f"{path} is a reading of another version than {VERSION}; make it anew")
    return words, as_dataclass(About, words.get("about"), what=f"{path} is damaged")


def _check(held: dict[str, Any], path: Any) -> None:
    """Raise `FileError` where arrays don't fit one another, or name tokens that the text hasn't."""
    sizes = {"x": WIDTH}
    for name, axes in SHAPES.items():
        if held[name].ndim != len(axes):
            raise FileError(f"{path} is damaged: {name} has {held[name].ndim} axes, not {len(axes)}")
        for axis, size in zip(axes, held[name].shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise FileError(f"{path} is damaged: {name} has the shape {held[name].shape}, which doesn't fit")
    for name in ("top_where", "examples_where", "fired", "probes"):
        least = 0 if name == "probes" else -1
        if held[name].dtype.kind != "i" or ((held[name] < least) | (held[name] >= held["ids"].size)).any():
            raise FileError(f"{path} is damaged: {name} names tokens that the text doesn't have")


def _named(pairs: Any, path: Any) -> dict[int, str]:
    if not isinstance(pairs, list) or not all(isinstance(p, list) and list(map(type, p)) == [int, str] for p in pairs):
        raise FileError(f"{path} is damaged: its tokens' names aren't pairs of a number and a text")
    return dict(pairs)


def _check_names(held: dict[str, Any], names: dict[int, str], path: Any) -> None:
    used = np.concatenate([held["ids"][held["ids"] >= 0], held["raises"].ravel(), held["lowers"].ravel()])
    if missing := set(np.unique(used).tolist()) - names.keys():
        raise FileError(f"{path} is damaged: token {min(missing)} has no name")
