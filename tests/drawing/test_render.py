"""Pictures as files: in which formats, with and without the Graphviz program."""

import logging
import shutil
import stat
from pathlib import Path

import pytest

from acdc.drawing import draw, to_dot
from acdc.errors import CircuitError, FileError
from tests.circuits.examples import GRAPHS, circuit_of
from tests.drawing.pictures import needs_dot, own_svg


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)


@needs_dot
@pytest.mark.parametrize(
    ("name", "start"), [("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c.pdf", b"%PDF"), ("C.SVG", b"<?xml")]
)
def test_formats_of_graphviz(name: str, start: bytes, tmp_path: Path) -> None:
    assert draw(circuit_of(GRAPHS[0]), tmp_path / name) == [tmp_path / name]
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize("name", ["c.dot", "c.gv"])
def test_dot_needs_no_program(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    circuit = circuit_of(GRAPHS[0])
    assert draw(circuit, tmp_path / name) == [tmp_path / name]
    assert (tmp_path / name).read_text() == to_dot(circuit).source and not caplog.records


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize(
    ("name", "expected"), [("c.svg", ["c.svg", "c.dot"]), ("c.png", ["c.dot"]), ("c.pdf", ["c.dot"])]
)
def test_without_graphviz_the_dot_is_written_and_help_given(
    name: str, expected: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    circuit = circuit_of(GRAPHS[0])
    with caplog.at_level(logging.WARNING):
        written = draw(circuit, tmp_path / name)
    assert [path.name for path in written] == expected and all(path.is_file() for path in written)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(expected)
    assert (tmp_path / "c.dot").read_text() == to_dot(circuit).source
    for word in ("'dot' was not found", "c.dot", "apt install", "brew install", "conda install"):
        assert word in caplog.text
    if name == "c.svg":
        assert written[0].read_text() == own_svg(circuit)


@pytest.mark.parametrize(
    ("script", "word"), [("exit 3", "failed"), ("echo oh no >&2; exit 1", "oh no"), ("sleep 9", "took longer")]
)
def test_a_broken_dot_is_as_good_as_none(
    script: str, word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    monkeypatch.setattr("acdc.drawing.render.TIMEOUT", 0.5)
    assert [path.name for path in draw(circuit_of(GRAPHS[0]), tmp_path / "c.svg")] == ["c.svg", "c.dot"]
    assert word in caplog.text


@pytest.mark.parametrize("name", ["c.jpg", "c", "svg", "c.svg.bak"])
def test_an_unknown_ending_lists_the_formats(name: str, tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match=r"must be one of \.svg, \.png, \.pdf, \.dot, \.gv"):
        draw(circuit_of(GRAPHS[0]), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["c.svg", "c.dot"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't write"):
        draw(circuit_of(GRAPHS[0]), tmp_path / "missing" / name)
