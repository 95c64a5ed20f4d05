"""Mistakes on the command line, of every kind: a line on standard error, exit code 2, no traceback, nothing loaded."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acdc.cli import main
from acdc.errors import nearest, unknown_name

HUGE, LONG = "9" * 400, "x" * 300
WORDS = f"""
discover ioi --seed 9223372036854775808 => seed must be a whole number of at least 0 and at most 4,294,967,295
discover ioi --seed 18446744073709551616 => seed must be a whole number
discover ioi --seed 1e3 => Invalid value for '--seed'
discover ioi --n abc => Invalid value for '--n'
discover ioi --n 0 => n must be
discover ioi --n -3 => n must be
discover ioi --tau inf => tau must be
discover ioi --sweeps -1 => sweeps must be a whole number of at least 0 and at most 10,000, not -1
discover ioi --n-edges 0 --method eap => n_edges must be
discover ioi --n-edges {HUGE} --method eap => n_edges must be
discover ioi -o seed=4 => seed is not an option of a method; give it as --seed
discover ioi -o n=4 => n is not an option of a method; give it as --n
discover ioi -o model=x => give it as --model
discover ioi -o out=x => give it as --out
discover ioi -o task=x => give it as the first argument
discover ioi -o progress=1 => give it as --quiet
discover ioi -o task_options=1 => give it as --task-option KEY=VALUE
discover ioi -o checkpoint=x => unknown option of method 'acdc'
discover ioi -o problem=x => unknown option of method 'acdc'
discover ioi --tau 1 -o tau=2 => tau is given twice
discover ioi -o tau=1 -o tau=2 => --option tau is given twice
discover ioi --task-option corruption=abc --task-option corruption=abc => --task-option corruption is given twice
discover ioi -o tau=abc => tau must be
discover ioi -o tau=nan => tau must be
discover ioi -o memory=-5 => memory must be a whole number of at least 1
discover ioi -o memory=0.5 => memory must be a whole number
discover ioi -o memory={HUGE} => memory must be a whole number
discover ioi -o speculation=0 => speculation must be a whole number of at least 1
discover ioi -o prune=2 => prune must be true or false, not '2'
discover ioi -o senders=latefirst => did you mean 'late-first'?
discover ioi -o =1 => --option takes KEY=VALUE
discover ioi --method eap-ig-inputs -o steps=1e9 => steps must be a whole number of at least 1 and at most 1,000,000
discover ioi --method edge-pruning -o lr=0 => lr must be a number of more than 0
discover ioi --method subnetwork-probing -o l0_penalty=nan => l0_penalty must be a finite number
discover ioi --method edge-pruning -o start=eapp => unknown scorer 'eapp': did you mean 'eap'?
discover ioi --method ensemble -o members=eap => needs at least two scorers
discover ioi --method eap-ig => did you mean 'eap-ig-inputs'?
discover IOI => did you mean 'ioi'?
discover ioi --metric KL => did you mean 'kl'?
discover ioi --dtype half => did you mean 'float16'?
discover ioi --dtype bf16 => did you mean 'bfloat16'?
discover ioi --device gpu => did you mean 'cuda'?
discover ioi --ablation Zero => did you mean 'zero'?
discover ioi --model gpt-2 => did you mean 'gpt2'?
evaluate nowhere --tau nan => tau must be
evaluate nowhere --tau -1 => tau must be a number of at least 0
evaluate nowhere --tau inf => tau must be
evaluate nowhere --stability -1 => stability must be a whole number of at least 0 and at most 1,000
evaluate nowhere --level 2 => level must be a number of more than 0 and less than 1
evaluate nowhere --level nan => level must be a finite number
evaluate nowhere --random 0 => n_random must be
evaluate nowhere --random {HUGE} => n_random must be
evaluate nowhere --seed {HUGE} => seed must be
evaluate nowhere --only curv => did you mean 'curve'?
benchmark --methods , => --methods takes names joined by commas
benchmark --methods eapp => did you mean 'eap'?
benchmark --models reverse => did you mean 'reverse-compiled'?
benchmark --seed -1 => seed must be
benchmark --n 0 => n must be
show {LONG} => acdc:
discover {LONG} => acdc:
discover {LONG}.py:T => acdc:
discover ioi --model {LONG} => acdc:
evaluate {LONG} => acdc:
convert nowhere x.json --from bogus => unknown
convert nowhere x.json --to bogus => unknown
show nowhere => there is no run 'nowhere'
discover => name a task (acdc tasks), or give a pair of prompts
models x => Usage: acdc models [OPTIONS]
""".strip().splitlines()


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """What is said when this is refused: one line, with exit code 2."""
    code, printed = main(words), capsys.readouterr()
    assert code == 2, printed.err
    assert printed.out == "" and "--debug shows where" not in printed.err
    (line,) = printed.err.splitlines()
    assert line.startswith("acdc: ") and len(line) <= 1510 and line.isprintable()
    return line


@pytest.mark.parametrize("case", WORDS, ids=range(len(WORDS)))
def test_mistakes_are_told(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: object, **options: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("acdc.models.PatchableModel.from_pretrained", load)
    monkeypatch.chdir(tmp_path)
    command, message = case.split(" => ")
    assert message in refused(capsys, command.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["benchmark", "--models", ""], "the word after '--models' is empty"),
        (["discover", ""], "the word after 'discover' is empty"),
        (["discover", "ioi", "--out", ""], "the word after '--out' is empty"),
        (["discover", "ioi", "--model", " "], "the word after '--model' is empty"),
        (["show", "run\udcff"], "is no UTF-8 text"),
        (["show", "a\0b"], "holds a NUL character"),
        (["discover", "x" * 10**6], "has 1,000,000 letters"),
        (["discover", "ioi\x1b[2J\x07"], "unknown task 'ioi [2J'"),
        (["discover", "ioi", "--model", "no\x1b[31mwhere"], ""),
        (["discover", "ioi", "--device", "\x1b]0;evil\x07"], ""),
        (["show", "no\x1b[31mwhere\r\nacdc: all is well"], "there is no run"),
        (["discover", "ioi", "-o", "\x1b[2J=1"], "unknown option"),
    ],
)
def test_words_that_name_nothing_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, words)
    assert message in line and "\x1b" not in line


def test_the_command_alone_prints_the_whole_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("discover", "evaluate", "show", "compare", "methods"))
    assert out.count("\n") > 10


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("eap-ig", ["nap-ig", "eap", "eap-ig-inputs", "eap-ig-activations"], "eap-ig-inputs"),
        ("IOI", ["ioi", "docstring"], "ioi"),
        ("Logit-Diff", ["kl", "logit_diff"], "logit_diff"),
        ("gpt-2", ["acdc-small", "gpt2"], "gpt2"),
        ("information-flow-routes", ["eap", "ifr"], "ifr"),
        ("information_flow_routes", ["eap", "ifr"], "ifr"),
        ("fp32", ["float32", "float64"], "float32"),
        ("float", ["float32", "float64"], "float32"),
        ("subnetwork", ["edge-pruning", "subnetwork-probing"], "subnetwork-probing"),
        ("aggreement", ["agreement", "arithmetic"], "agreement"),
        ("q", ["eap", "ifr"], None),
        ("", ["eap", "ifr"], None),
        ("half", ["kl", "nll"], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant


def test_an_unknown_name_of_any_size_stays_short() -> None:
    message = str(unknown_name("task", "\x1b" + "x" * 10**6, ["ioi"]))
    assert len(message) < 150 and message.isprintable()


# -- how it ends


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "acdc", "methods"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `discover` raise this."""

    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("acdc.runs.discover.discover", fail)


def test_code_that_ends_the_program_is_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_with(SystemExit(0), monkeypatch)
    assert main(["discover", "ioi"]) == 1
    assert "ended the program (sys.exit)" in capsys.readouterr().err


def test_a_request_to_end_keeps_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_with(SystemExit(143), monkeypatch)
    assert main(["discover", "ioi"]) == 143
    assert "stopped; the same command goes on from here" in capsys.readouterr().err


def test_a_full_memory_and_a_full_disk_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")):
        fails_with(error, monkeypatch)
        assert main(["discover", "ioi"]) == 1
        assert "the memory is full; use fewer prompts" in capsys.readouterr().err
    fails_with(OSError(28, "No space left on device", "x\x1b"), monkeypatch)
    assert "No space left on device (x )" in refused(capsys, ["discover", "ioi"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_has_its_exit_code(number: signal.Signals, code: int, tmp_path: Path) -> None:
    words = ["discover", "ioi", "--n", "400", "--tau", "0.0001", "-o", "speculation=1", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "acdc", *words], stderr=subprocess.PIPE, env=environment)
    until = time.monotonic() + 60
    while not any(path.is_file() for path in tmp_path.rglob("*")) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert b"stopped; the same command goes on from here" in err and b"Traceback" not in err


# -- what is printed


def test_no_command_prints_past_the_border() -> None:
    """`say` and `table` take control characters out of whatever names they are given."""
    for path in (Path(__file__).parents[2] / "acdc" / "cli").glob("*.py"):
        assert path.name in ("terminal.py", "app.py") or "typer.echo" not in path.read_text(encoding="utf-8"), path


def test_names_in_tables_and_summaries_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    from acdc.cli.terminal import say, table

    say("a\x1b[2J\r\n  b\x9b31m")
    table(["name"], [["c\x1b[2J\u202e"]])
    assert not set(capsys.readouterr().out) & set("\x1b\x9b\r\u202e")
