"""Rows of data files of every kind, and what is told of files that hold none."""

import json
from pathlib import Path

import pytest

from acdc.errors import FileError
from acdc.task.table_file import rows_of

ROWS = [{"clean": "a, b", "n": "1"}, {"clean": 'say "c"\u2028d', "n": "2"}]
LINES = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS)
TABLE = 'clean,n\n"a, b",1\n"say ""c""\u2028d",2\n'
KINDS = {
    "x.jsonl": LINES,
    "x.json": json.dumps(ROWS),
    "object.json": json.dumps({"prompts": ROWS, "seq_labels": []}, indent=1),
    "lines.json": LINES,
    "x.csv": TABLE,
    "semicolons.csv": TABLE.replace(",", ";").replace("a; b", "a, b"),
    "x.tsv": TABLE.replace("clean,n", "clean\tn").replace('",', '"\t'),
    "gaps.jsonl": LINES.replace("\n", "\n\n"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("form", ["plain", "bom", "crlf", "utf-16"])
def test_every_kind_in_every_form_holds_the_same_rows(name: str, form: str) -> None:
    text = KINDS[name].replace("\n", "\r\n") if form == "crlf" else KINDS[name]
    content = text.encode({"bom": "utf-8-sig", "utf-16": "utf-16"}.get(form, "utf-8"))
    assert [row.values for row in rows_of(content, Path(name))] == ROWS


def test_rows_are_named_by_where_they_stand() -> None:
    assert [row.where for row in rows_of(LINES.encode(), Path("x.jsonl"))] == ["line 1", "line 2"]
    assert [row.where for row in rows_of(TABLE.encode(), Path("x.csv"))] == ["line 2", "line 3"]
    assert [row.where for row in rows_of(b'a\n"1\n2"\n3\n', Path("x.csv"))] == ["line 3", "line 4"]
    assert [row.where for row in rows_of(json.dumps(ROWS).encode(), Path("x.json"))] == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b"", "holds no rows"),
        ("x.csv", b"clean,corrupt\n", "holds no rows"),
        ("x.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("x.jsonl", b'{"a": 1, "a": 2}\n', "line 1 has the key 'a' twice"),
        ("x.jsonl", b"[1]\n", "line 1: expected an object"),
        ("x.json", b"3", "must hold a list of objects"),
        ("x.json", b"[3]", "row 1: expected an object"),
        ("x.json", b'{"a": 1', "is not JSON"),
        ("x.csv", b"a,b\n1\n", "line 2: has 1 fields where the first line names 2"),
        ("x.csv", b"a,a\n1,2\n", "names the column 'a' twice"),
        ("x.csv", b'a\n"1\n', "line 2: unexpected end of data"),
        ("x.csv", b"a\n" + b"1" * 200_000 + b"\n", "line 2: field larger than field limit"),
        ("x.csv", b"a\nok\n\xff\n", "line 3: is no UTF-8 text"),
        ("x.jsonl", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(name: str, content: bytes, message: str) -> None:
    with pytest.raises(FileError, match=message):
        rows_of(content, Path(name))
