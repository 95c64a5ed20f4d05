"""A reading comes back from its file as it was, and a damaged file is refused."""

import io
from pathlib import Path

import numpy as np
import pytest

from acdc.errors import FileError
from acdc.features.reading import card_of, load_reading, save_reading
from tests.features.reading.planted import planted


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reading(planted().reading, tmp_path_factory.mktemp("reading") / "planted.npz")


def test_it_comes_back(file: Path) -> None:
    found, right = load_reading(file), planted().reading
    assert found.about == right.about and found.names == right.names
    assert found.frame().equals(right.frame())
    assert [card_of(found, i) for i in (0, 1, 2)] == [card_of(right, i) for i in (0, 1, 2)]


def test_a_damaged_file_is_refused(file: Path, tmp_path: Path) -> None:
    whole, bad = file.read_bytes(), tmp_path / "bad.npz"
    for content in (whole[:200], whole[: len(whole) // 2], b"", b"words"):
        bad.write_bytes(content)
        with pytest.raises(FileError, match="is no reading of features, or a damaged one"):
            load_reading(bad)
    with np.load(file) as read:
        held = dict(read)
    changes = {
        "fired": held["fired"] + 10**6,
        "total": held["total"][:-1],
        "ids": held["ids"][0],
        "raises": held["raises"] + 10**5,
        "words": np.frombuffer(b'{"version": 0}', dtype=np.uint8),
    }
    for name, value in changes.items():
        content = io.BytesIO()
        np.savez(content, **(held | {name: value}))
        bad.write_bytes(content.getvalue())
        with pytest.raises(FileError, match=r"damaged|another version"):
            load_reading(bad)
    with pytest.raises(FileError, match="can't read"):
        load_reading(tmp_path / "none.npz")
