"""Every reader of circuits, fed damaged and hostile files: a circuit or one short line comes out, and nothing else."""

import functools
import io
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import FORMATS, read_circuit, write_circuit
from acdc.errors import ACDCError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL

READERS = ("compact", *FORMATS)
NEST = "@nested@"  # replaced in the text, since Python's own writer can't nest so deeply
NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 1000, 10**6, 10**9, 2**63, 10**400, 0.5, 1e308, math.nan, math.inf, -math.inf),
    *("", "x", "a0.h0->m0", "x" * 1_000_000, "\x1b[31m\x07", "\ud800", "1e999", "<q>", "input", NEST),
    *([], {}, [[]], {"": {}}, [1, 2], {"in_graph": True, "score": "high"}, {"in_graph": 1, "score": 0}),
]
TENSORS: list[Callable[[], Any]] = [
    lambda: torch.zeros(3, 3),
    lambda: torch.full((SMALL.n_src, SMALL.n_dst), math.nan),
    lambda: torch.ones(SMALL.n_src, SMALL.n_dst, dtype=torch.complex64),
    lambda: torch.ones(SMALL.n_src, SMALL.n_dst, dtype=torch.float8_e4m3fn),
    lambda: torch.ones(SMALL.n_src, SMALL.n_dst).to_sparse(),
    lambda: torch.empty(SMALL.n_src, SMALL.n_dst, device="meta"),
    lambda: torch.zeros(1).expand(10**6, 10**6),
    lambda: torch.quantize_per_tensor(torch.zeros(SMALL.n_src, SMALL.n_dst), 0.1, 0, torch.qint8),
]


@functools.cache
def valid(reader: str) -> bytes:
    """A valid file of the format; `compact` is what `Circuit.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path, circuit = Path(folder) / "c", circuit_of(SMALL)
        if reader == "compact":
            return circuit.save(path).read_bytes()
        return write_circuit(circuit, path, format=reader, lossy=True).read_bytes()


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes replaced, cut out, doubled or put in; and the end cut off."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        end = min(len(content), start + draw(st.sampled_from([1, 1, 2, 10, 100])))
        how = draw(st.sampled_from(["flip", "cut", "double", "insert", "truncate"]))
        piece = draw(st.binary(min_size=1, max_size=8))
        content = {
            "flip": content[:start] + piece[: end - start] + content[start + len(piece[: end - start]) :],
            "cut": content[:start] + content[end:],
            "double": content[:end] + content[start:],
            "insert": content[:start] + piece + content[start:],
            "truncate": content[:start],
        }[how]
    return content


@st.composite
def places(draw: st.DrawFn, value: Any) -> tuple[Any, ...]:
    """The way to a part of a value; each level is chosen by itself, so that the few parts high up are met often."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not keys or draw(st.integers(0, 3)) == 0:
        return ()
    key = draw(st.sampled_from(keys))
    return (key, *draw(places(value[key])))


def replaced(value: Any, place: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not place:
        return change(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], change)
    return copy


def without_a_key(value: Any) -> Any:
    if isinstance(value, dict) and value:
        return dict(list(value.items())[1:])
    return value[1:] if isinstance(value, list) else None


def renamed(value: dict[str, Any], name: str) -> dict[str, Any]:
    (_, first), *others = value.items()
    return {name: first, **dict(others)}


@st.composite
def changed_value(draw: st.DrawFn, value: Any) -> Any:
    """A part of it replaced by something else, renamed, or left out."""
    place = draw(places(value))
    how = draw(st.sampled_from(["replace", "replace", "remove", "add", "rename"]))
    nasty = draw(st.sampled_from(NASTY))
    name = draw(st.sampled_from(["x" * 1_000_000, "\x1b[2J", "\ud800", "edges", "a0.h0->m0", "a9.h9->logits", ""]))
    change = {
        "replace": lambda _: nasty,
        "remove": without_a_key,
        "add": lambda v: {**v, name: nasty} if isinstance(v, dict) else [*v, nasty] if isinstance(v, list) else nasty,
        "rename": lambda v: renamed(v, name) if isinstance(v, dict) and v else name,
    }[how]
    return replaced(value, place, change)


@st.composite
def changed_json(draw: st.DrawFn, content: bytes) -> bytes:
    text = json.dumps(draw(changed_value(json.loads(content))))
    if draw(st.booleans()):  # a second key of the same name
        text = text.replace('"edges":', '"edges": {}, "edges":', 1)
    return text.replace(f'"{NEST}"', "[" * 20_000 + "]" * 20_000).encode()


@st.composite
def changed_tensors(draw: st.DrawFn, content: bytes) -> bytes:
    data = torch.load(io.BytesIO(content), weights_only=True)
    key = draw(st.sampled_from(list(data)))
    parts = [part for part in NASTY if part != NEST]
    data[key] = draw(st.sampled_from([*parts, *TENSORS]))
    data[key] = data[key]() if callable(data[key]) else data[key]
    if draw(st.booleans()):
        data[draw(st.sampled_from([("x",) * 4, 3, "x" * 10_000, ("a", (None,), "b", (None, "y"))]))] = True
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


@st.composite
def changed_text(draw: st.DrawFn, content: bytes) -> bytes:
    """A word of it replaced: a line's name, or an attribute of XML."""
    words = content.decode().split('"' if content.lstrip().startswith(b"<") else "\n")
    word = draw(st.integers(0, len(words) - 1))
    words[word] = str(draw(st.sampled_from([x for x in NASTY if x not in ("\ud800", NEST)])))
    return ('"' if content.lstrip().startswith(b"<") else "\n").join(words).encode()


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Damaged files of the format."""
    kind = changed_json if content[:1] in b"{[" else changed_tensors if content.startswith(b"PK") else changed_text
    return st.one_of(changed_bytes(content), kind(content))


def check(reader: str, content: bytes, folder: Path) -> None:
    """Reading gives a circuit of the graph, or an error of one short line, and soon."""
    path, start = folder / f"c{'.json' if reader == 'compact' else FORMATS[reader].suffix}", time.monotonic()
    path.write_bytes(content)
    for graph in (None, SMALL):
        for format in (None, "eap-ig" if reader == "compact" else reader):
            try:
                circuit = read_circuit(path, format=format, graph=graph)
            except ACDCError as error:
                message = str(error).replace(str(path), "")
                assert len(message) < 500 and message.isprintable(), message[:1000]
            else:
                assert isinstance(circuit, Circuit) and (graph is None or circuit.graph == graph)
    assert time.monotonic() - start < 20


def fuzz(reader: str, folder: Path, n: int) -> None:
    @settings(derandomize=True, max_examples=n, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damaged(valid(reader)))
    def run(content: bytes) -> None:
        check(reader, content, folder)

    run()


@pytest.mark.parametrize("reader", READERS)
def test_a_few_damaged_files_give_a_circuit_or_a_short_line(reader: str, tmp_path: Path) -> None:
    fuzz(reader, tmp_path, 20)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_damaged_files_give_a_circuit_or_a_short_line(reader: str, tmp_path: Path) -> None:
    fuzz(reader, tmp_path, 250)
