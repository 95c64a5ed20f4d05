"""Sizes as people write them."""

import pytest

from acdc.errors import RunError
from acdc.options.ranges import Word
from acdc.options.sizes import size_of


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (None, None),
        (7, 7),
        ("7", 7),
        (Word("7"), 7),
        ("2GB", 2 * 10**9),
        ("2 GiB", 2**31),
        ("2g", 2**31),
        ("1.5K", 1536),
    ],
)
def test_sizes_are_read(written: object, size: int | None) -> None:
    assert size_of("memory", written) == size


@pytest.mark.parametrize("written", ["", "much", "-5", "0", "1.5", "2 GBs", 0, 2.5, True, "9999TB", "GB"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(RunError, match=r"memory must be a whole number .* sizes like 500MB or 2GiB are taken too"):
        size_of("memory", written)
