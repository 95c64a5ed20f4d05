"""The command line: what it prints, its exit codes, and that a mistake is told in a line without a traceback."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.cli import main
from acdc.errors import CircuitError
from acdc.zoo import zoo_path

QUICK = ["--n", "6", "--tau", "0.1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    out = tmp_path_factory.mktemp("runs")
    assert main(["discover", "ioi", *QUICK, "--out", str(out), "--quiet"]) == 0
    return next(out.glob("ioi/acdc-small/acdc/*"))


def words(text: str) -> str:
    return " ".join(text.split())


def test_discover_ends_with_a_summary_and_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "ioi", *QUICK, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in (
        "of 479 kept",
        "KL to the full model",
        "accuracy",
        "model 1.00",
        "corrupted",
        "forward passes",
        "held out",
    ):
        assert word in out
    listed = [Path(line.strip()) for line in out.splitlines() if line.startswith(f"  {tmp_path}")]
    assert {path.name for path in listed} >= {"circuit.json", "edges.csv", "circuit.svg", "circuit.dot", "run.json"}
    assert all(path.is_file() for path in listed)


def test_json_is_one_object_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "ioi", *QUICK, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["n_edges"] == len(found["edges"]) > 0
    assert Path(found["path"]).is_dir()


def test_quiet_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["discover", "ioi", *QUICK, "--out", str(tmp_path), "--quiet"]) == 0
    printed = capfd.readouterr()
    assert printed.out == "" and "Loading" not in printed.err


def test_quiet_still_warns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "ioi", "--n", "8", "--tau", "100", "--out", str(tmp_path), "--quiet"]) == 0
    printed = capfd.readouterr()
    assert printed.out == "" and "acdc: warning: " in printed.err and "it is empty" in printed.err


def test_show_prints_and_draws_only_what_is_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main(["show", str(run.parents[3]), "--edges", "3"]) == 0
    out = capsys.readouterr().out
    assert "of 479 kept" in out and str(run / "circuit.svg") in out
    assert len(re.findall(r"->.*\d", out)) == 3
    again = tmp_path / "again.dot"
    assert main(["show", str(run / "circuit.json"), "--draw", str(again), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["edges"] == list(Circuit.load(run / "circuit.json").edges) and shown["drawn"] == [str(again)]
    assert again.read_text().startswith("digraph")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before, "so it works in a read-only folder"


@pytest.mark.parametrize("suffix", [".pt", ".gexf", ".auto-circuit.txt"])
def test_show_reads_every_format(run: Path, suffix: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, plain = tmp_path / f"theirs{suffix}", suffix.endswith(".txt")
    assert main(["convert", str(run), str(file), "--lossy"]) == 0
    capsys.readouterr()
    if plain:
        file.write_text("\n".join(file.read_text().splitlines()[1:]))  # without our header
        assert "doesn't say the model's shape" in refused(capsys, "show", str(file))
    assert main(["show", str(file), "--json", *(["--graph", str(run)] if plain else [])]) == 0
    assert json.loads(capsys.readouterr().out)["edges"] == list(Circuit.load(run / "circuit.json").edges)
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name], "nothing is written beside it"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("tasks", "greater-than"),
        ("models", "acdc-small.resid_post.1"),
        ("methods", "acdc"),
        ("methods acdc", "late-first"),
    ],
)
def test_lists_name_what_there_is(command: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 0
    assert expected in capsys.readouterr().out
    assert main([*command.split(), "--json"]) == 0
    assert expected in json.dumps(json.loads(capsys.readouterr().out))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"acdc \d+\.\d+\.\d+\n", capsys.readouterr().out)


# -- mistakes

TASK = """
import random
from acdc import PromptPair, Task

class Mine(Task):
    name = "mine"
    def pairs(self, tokenizer, n, rng):
        return [PROMPT] * n
"""


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said when these arguments are refused: exit code 2, one or two lines, no traceback."""
    assert main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    lines = [line for line in printed.err.splitlines() if line.startswith("acdc: ")]
    lines = [line for line in lines if not line.startswith("acdc: memory: about ")]  # told before a model is tried
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["discover", "ioy"], "unknown task 'ioy': did you mean 'ioi'?"),
        (["discover", "ioi", "--model", "acdc-smal"], "did you mean the bundled 'acdc-small'?"),
        (["discover", "ioi", "--model", "./nowhere"], "there is no model folder './nowhere'"),
        (["discover", "ioi", "--method", "acd"], "unknown method 'acd': did you mean 'acdc'?"),
        (["discover", "ioi", "--metric", "logitdiff"], "unknown metric 'logitdiff': did you mean 'logit_diff'?"),
        (["discover", "ioi", "--ablation", "zeros"], "unknown ablation 'zeros': did you mean 'zero'?"),
        (["discover", "ioi", "--tau", "-0.1"], "tau must be a number of at least 0"),
        (["discover", "ioi", "--tau", "nan"], "tau must be a finite number, not nan"),
        (["discover", "ioi", "--n", "0"], "n must be a positive number of prompt pairs, not 0"),
        (["discover", "ioi", "--seed", "-1"], "seed must be a whole number of at least 0"),
        (["discover", "ioi", "--dtype", "float23"], "unknown dtype 'float23': did you mean 'float32'?"),
        (["discover", "ioi", "--device", "gpu"], "device 'gpu' can't be used here"),
        (["discover", "ioi", "--option", "sweep=2"], "unknown option of method 'acdc' 'sweep': did you mean 'sweeps'?"),
        (["discover", "ioi", "--option", "sweeps"], "takes KEY=VALUE"),
        (
            ["discover", "ioi", "--task-option", "corruption=abd"],
            "unknown ioi corruption 'abd': did you mean 'abc'? (known: abc",
        ),
        (["discover", "ioi", "--task-option", "corrupt=abc"], "did you mean 'corruption'?"),
        (
            ["discover", "ioi", "--tau", "much"],
            "tau must be a number of at least 0 (an edge is removed if the loss rises by less), or a share",
        ),
        (["discover", "none.py:Mine"], "there is no task file 'none.py'"),
        (["discover", "tests/test_cli.py"], "say which class in it is the task"),
        (["methods", "eapp"], "unknown method 'eapp': did you mean 'eap'?"),
        (["discover"], "name a task (acdc tasks), or give a pair of prompts: --clean, --corrupt and --answer"),
        (["discovr", "ioi"], "Did you mean 'discover'?"),
        (["show", "nowhere"], "there is no run 'nowhere'"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path)] if arguments[0] == "discover" else []
    assert message in refused(capsys, *arguments, *out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            'PromptPair("When Mary and John", "When Mary", [" Mary"])',
            "the two sides must have the same number of tokens; clean has 4 ('When Mary and John'), corrupted has 2",
        ),
        ('PromptPair("When Mary", "When John", [" Maryjohn"])', "the answer ' Maryjohn' is not a single token"),
        ('PromptPair("When Mary", "When Mary", [" Mary"])', "clean and corrupted are identical up to the target"),
        ('PromptPair("When Mary", "When John", [])', "at least one correct answer is needed"),
        (
            'PromptPair([5] * 100, [6] * 100, [" Mary"])',
            "has a prompt of 100 tokens, longer than the context of 'acdc-small' (64 tokens)",
        ),
        ("1 / 0", "failed to make its pairs: ZeroDivisionError: division by zero"),
    ],
)
def test_tasks_that_can_t_be_used_are_told(
    prompt: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "my_task.py"
    path.write_text(TASK.replace("PROMPT", prompt, 1) if "PromptPair(" in prompt else TASK.replace("[PROMPT]", prompt))
    assert message in refused(capsys, "discover", f"{path}:Mine", "--n", "3", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_task_file_that_raises_is_told_with_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "my_task.py"
    path.write_text("x = 1\nraise RuntimeError('not ready')\n")
    assert f"failed: RuntimeError: not ready ({path}, line 2)" in refused(capsys, "discover", f"{path}:Mine")


@pytest.fixture
def broken_model(tmp_path: Path) -> Path:
    """A copy of the bundled model, to be broken."""
    return Path(shutil.copytree(zoo_path("acdc-small"), tmp_path / "model"))


def discover_with(capsys: pytest.CaptureFixture[str], model: Path) -> str:
    return refused(capsys, "discover", "ioi", *QUICK, "--model", str(model), "--out", str(model.parent / "out"))


def test_a_folder_without_weights_is_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken_model / "model.safetensors").rename(broken_model / "pytorch_model.bin")
    message = discover_with(capsys, broken_model)
    assert "has no weights (*.safetensors); pytorch_model.bin is a pickle, which is never loaded" in message


def test_a_folder_without_a_config_is_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken_model / "config.json").unlink()
    assert "has no config.json" in discover_with(capsys, broken_model)


def test_cut_off_weights_are_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = broken_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    assert "its weights file is damaged or cut off" in discover_with(capsys, broken_model)


def change_weights(folder: Path, change: "callable") -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_missing_weights_are_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_weights(broken_model, lambda tensors: tensors.pop("transformer.h.1.mlp.c_fc.weight"))
    message = discover_with(capsys, broken_model)
    assert "'transformer.h.1.mlp.c_fc.weight' of shape [128, 512] is missing from the file" in message


def test_nan_in_the_logits_is_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_weights(broken_model, lambda tensors: tensors["transformer.h.2.mlp.c_fc.bias"].fill_(torch.nan))
    assert "gives logits that are NaN or infinite on task 'ioi' in float32" in discover_with(capsys, broken_model)


def test_a_model_that_is_not_supported_is_told(broken_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((broken_model / "config.json").read_text())
    (broken_model / "config.json").write_text(json.dumps({**config, "model_type": "ctrl"}))
    message = discover_with(capsys, broken_model)
    assert "'ctrl'" in message and all(family in message for family in ("gpt2", "gpt_neox", "llama"))


def test_a_place_that_can_t_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    message = refused(capsys, "discover", "ioi", "--out", str(tmp_path / "file" / "out"))
    assert "can't write runs to" in message and "choose another folder" in message


def test_a_damaged_run_is_told(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "circuit.json").write_text('{"cfg": {')
    assert "circuit.json is not JSON" in refused(capsys, "show", str(copy))
    (copy / "run.json").write_text("[]")
    assert "run.json is damaged" in refused(capsys, "show", str(copy))


def test_a_circuit_of_another_shape_is_told(run: Path) -> None:
    with pytest.raises(CircuitError, match=r"4 layers x 4 heads .*12 layers x 12 heads"):
        Circuit.load(run / "circuit.json", graph=Graph(12, 12, 768))


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "ioy", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_stop_is_told_with_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("acdc.runs.discover.discover", stop)
    assert main(["discover", "ioi", "--out", str(tmp_path)]) == 130
    assert "stopped; the same command goes on from here" in capsys.readouterr().err
