"""Files are read strictly and written whole."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from acdc.errors import FileError, printable
from acdc.files import parse_json, read_json, validated, write_json

REFUSED = {
    "a key twice": (b'{"a": 1, "a": 2}', "key 'a' twice"),
    "a key twice, deep": (b'{"a": [{"b": 1, "b": 1}]}', "key 'b' twice"),
    "NaN": (b'{"a": NaN}', "NaN is not a number"),
    "infinity": (b'{"a": -Infinity}', "-Infinity is not a number"),
    "half a character": (b'{"a": "\\ud800"}', "half a character"),
    "half a character as a key": (b'{"\\uDFFF": 1}', "half a character"),
    "bytes": (b'{"a": "\xff"}', "UTF-8"),
    "nesting": (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
    "a long key": (b'{"' + b"a" * 10**6 + b'": 1}', r"a key of 1,000,000 letters"),
    "a long number": (b"1" * 10_000, "not JSON"),
    "half": (b'{"a": ', "not JSON"),
    "nothing": (b"", "not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_strict_json_is_refused_in_a_short_line(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=reason) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_nan_where_other_tools_write_it() -> None:
    assert parse_json('{"a": NaN}', allow_nan=True)["a"] != 0


def test_surrogate_pairs_are_characters() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(("name", "reason"), [("missing.json", "No such file"), (".", "is a folder")])
def test_what_cannot_be_read_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=reason):
        read_json(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = write_json(tmp_path / "file.json", {"a": "b" * 100})
    with pytest.raises(FileError, match="more than the 50 that are read"):
        read_json(path, max_bytes=50)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write_json(tmp_path / "file.json", {"a": [1, 2.5, float("nan"), None, "é"]})
    assert read_json(path) == {"a": [1, 2.5, None, None, "é"]}


class Part(BaseModel):
    n: int
    name: str = ""


class Whole(BaseModel):
    parts: list[Part]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"parts": [{"n": 1}, {"n": "x\x1b[31m"}]}, r"^it is damaged: 'parts\.1\.n': input should be .*, not 'x.*'$"),
        ({"parts": [{}]}, r"^it is damaged: 'parts\.0\.n': field required$"),
        ([], "^it is damaged: input should be "),
        ({"parts": [{}, {}]}, r"\(and 1 more\)$"),
    ],
)
def test_a_value_of_another_shape_names_its_first_wrong_field(value: object, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        validated(Whole, value, what="it is damaged")
    assert "\x1b" not in str(caught.value)
    assert validated(Whole, {"parts": [{"n": 1}]}, what="").parts[0].n == 1


def test_printable_is_one_short_line() -> None:
    assert printable("a\n\x1b[2Jb\u202e") == "a [2Jb"
    assert len(printable("x" * 10**6)) == 300
