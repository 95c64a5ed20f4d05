"""The checkpoint: given back as written, cut off where it is damaged, and never the cause of another circuit."""

import errno
import logging
import os
import random
from pathlib import Path

import pytest

from acdc.circuits.circuit import Circuit
from acdc.discovery import METHODS
from acdc.errors import FileError, RunError
from acdc.patching.problem import Problem
from acdc.runs.checkpoint import FileCheckpoint, clear_checkpoint, is_being_written
from tests.tiny import tiny_batch, tiny_model

VALUES = [[0.1, -2.5e-300], [1 / 3], [float("inf"), 2.0]]


def written(path: Path, *, result: dict | None = None) -> bytes:
    """The content of a checkpoint with `VALUES`."""
    with FileCheckpoint(path, "f") as checkpoint:
        for values in VALUES:
            assert checkpoint.next() is None
            checkpoint.append(values)
        if result is not None:
            checkpoint.conclude(result)
    return path.read_bytes()


def read(path: Path, fingerprint: str = "f") -> list[list[float]]:
    with FileCheckpoint(path, fingerprint) as checkpoint:
        return list(iter(checkpoint.next, None))


def test_values_come_back_to_the_last_bit_and_the_result_last(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    written(path, result={"kept": [True]})
    assert read(path) == VALUES
    with FileCheckpoint(path, "f") as checkpoint:
        assert checkpoint.result == {"kept": [True]} and checkpoint.recorded == 4
        checkpoint.forget_result()
        assert checkpoint.result is None and list(iter(checkpoint.next, None)) == VALUES
        checkpoint.conclude({"kept": [True]})
    with pytest.raises(RunError, match="another run"):
        read(path, "g")
    assert read(path) == VALUES, "another run's checkpoint is left alone"


@pytest.mark.parametrize("bad", range(4))
def test_a_changed_lost_or_moved_line_ends_the_journal_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: int
) -> None:
    path = tmp_path / "checkpoint"
    lines = written(path).splitlines(keepends=True)
    damaged = lines[bad].replace(b"0", b"1") if b"0" in lines[bad] else lines[bad].replace(b"3", b"4")
    for others in ([*lines[:bad], damaged, *lines[bad + 1 :]], [*lines[:bad], *lines[bad + 1 :]]):
        caplog.clear()
        path.write_bytes(b"".join(others))
        assert read(path) == VALUES[: max(0, bad - 1)]
        assert (others == lines[:bad]) != ("damaged" in caplog.text), "a line too few at the end can't be seen"
        with FileCheckpoint(path, "f") as checkpoint:
            list(iter(checkpoint.next, None))
            checkpoint.append([7.0])
        assert read(path) == [*VALUES[: max(0, bad - 1)], [7.0]], "it goes on from there"


def test_half_a_line_is_dropped_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "checkpoint"
    content = written(path)
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        found = read(path)
        assert found == VALUES[: max(0, content[:cut].count(b"\n") - 1)]
    assert not caplog.records


@pytest.mark.parametrize(
    "content", [b'{"fingerprint": "f"}\n[0.5]\n', b"\n", b"\0" * 100 + b"\n", b'["", 3]\n', b"[]\n"]
)
def test_a_journal_of_an_older_version_or_of_nothing_known_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    assert read(tmp_path / "checkpoint") == []
    assert "of another version" in caplog.text
    assert read(tmp_path / "checkpoint") == []


def test_rejected_values_and_all_after_them_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    written(path)
    with FileCheckpoint(path, "f") as checkpoint:
        assert [checkpoint.next(), checkpoint.next()] == VALUES[:2]
        checkpoint.reject()
        assert checkpoint.next() is None
        checkpoint.append([9.0])
    assert read(path) == [VALUES[0], [9.0]]


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    with FileCheckpoint(path, "f"):
        assert is_being_written(path)
        with pytest.raises(BlockingIOError):
            FileCheckpoint(path, "f")
        with pytest.raises(BlockingIOError):
            clear_checkpoint(path, finished=True)
    assert not is_being_written(path)
    assert not clear_checkpoint(tmp_path / "checkpoint", finished=False) or not path.exists()


def test_a_journal_that_holds_something_is_cleared_only_when_its_run_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    written(path)
    assert not clear_checkpoint(path, finished=False) and path.exists()
    assert clear_checkpoint(path, finished=True) and not path.exists()


def test_a_full_disk_says_what_to_do_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "checkpoint"
    written(path)
    with FileCheckpoint(path, "f") as checkpoint:
        assert list(iter(checkpoint.next, None)) == VALUES
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(FileError, match="No space left on device; what was measured before is kept, so make room"):
            checkpoint.append([1.0])
    assert read(path) == VALUES


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Problem, Path, bytes, Circuit]:
    """A small real search: its problem, its checkpoint, and the circuit that it finds."""
    model = tiny_model("gpt2")
    problem = Problem.make(model, tiny_batch(), metric="kl")
    path = tmp_path_factory.mktemp("search") / "checkpoint"
    return problem, path, *found(problem, path)


def found(problem: Problem, path: Path) -> tuple[bytes, Circuit]:
    with FileCheckpoint(path, "f") as checkpoint:
        result = METHODS["acdc"].search(problem, tau=0.01, speculation=2, checkpoint=checkpoint)
    return path.read_bytes(), Circuit(problem.model.graph, result.mask, result.scores)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One thing of it changed: a bit, a byte, a line, its order, its end."""
    lines, at = content.splitlines(keepends=True), rng.randrange(len(content))
    one, two = (rng.randrange(len(lines)) for _ in range(2))
    match rng.choice(["bit", "byte", "cut", "insert", "drop", "swap", "twice", "value", "kind"]):
        case "bit":
            return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        case "byte":
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "insert":
            return content[:at] + rng.randbytes(rng.randrange(1, 9)) + content[at:]
        case "drop":
            del lines[one]
        case "swap":
            lines[one], lines[two] = lines[two], lines[one]
        case "twice":
            lines.insert(two, lines[one])
        case "value":
            lines[one] = lines[one].replace(b", ", b", 0.25, ", 1)
        case "kind":
            lines[one] = rng.choice(
                [b"null\n", b"3\n", b"[]\n", b'{"a": 1}\n', b'["0123456789abcdef", [0.5]]\n', b"\n"]
            )
    return b"".join(lines)


def check(search: tuple[Problem, Path, bytes, Circuit], contents: list[bytes]) -> None:
    problem, path, whole, circuit = search
    for content in contents:
        path.write_bytes(content)
        assert found(problem, path) == (whole, circuit), content


def test_a_damaged_journal_gives_the_same_circuit(search: tuple[Problem, Path, bytes, Circuit]) -> None:
    rng = random.Random(0)
    check(search, [mutated(search[2], rng) for _ in range(12)])


@pytest.mark.slow
def test_no_damage_to_a_journal_gives_another_circuit(search: tuple[Problem, Path, bytes, Circuit]) -> None:
    rng, content = random.Random(1), search[2]
    check(search, [mutated(content, rng) for _ in range(200)])
    step = max(1, 8 * len(content) // 200)
    flipped = [bytearray(content) for _ in range(0, 8 * len(content), step)]
    for bit, each in zip(range(0, 8 * len(content), step), flipped, strict=True):
        each[bit // 8] ^= 1 << bit % 8
    check(search, [bytes(each) for each in flipped])


@pytest.fixture(autouse=True)
def warnings_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
