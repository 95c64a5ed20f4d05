"""The prompts of a run: what stands before them is recorded, and they are kept, to read and to measure on again."""

import ast
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import acdc
from acdc import PatchableModel, PromptPair, Task, discover, evaluate
from acdc.cli import main
from acdc.errors import ACDCError, FileError, RunError, TaskError
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from acdc.runs.prompt_file import read_prompts, write_prompts
from acdc.runs.reload import reload
from tests.circuits.formats.test_fuzz import changed_bytes, changed_value
from tests.configs import CONFIGS
from tests.tiny import NumberTokenizer, tiny_model


def number_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Numbers as tokens; a text starts with a BOS token, whatever the attribute `add_bos_token` says."""
    vocabulary = {"<b>": 0} | {str(i): i for i in range(1, 49)} | {"<u>": 49}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<u>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    core.post_processor = tokenizers.processors.TemplateProcessing(single="<b> $A", special_tokens=[("<b>", 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<b>", unk_token="<u>")


@pytest.fixture(scope="module")
def hf() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS["gpt2"]()).double().eval()


PAIRS = [PromptPair(f"{i} {i + 1} 3", f"{i} {i + 20} 3", [str(i + 1)], [str(i + 20)]) for i in range(1, 13)]


class Shuffled(Task):
    """A list of twelve pairs in any order."""

    name = "shuffled"

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        return rng.sample(PAIRS, min(n, 12))


def test_a_live_model_with_its_tokenizer_and_a_list_of_pairs(hf, tmp_path: Path) -> None:
    result = discover(hf, PAIRS, tokenizer=number_tokenizer(), tau=0.05, out=tmp_path)
    assert result.arguments["task_name"] == "prompts" and result.arguments["n"] == 9
    assert result.record["prompts"]["n_asked"] == 50 and result.record["prompts"]["n_held_out"] == 3
    assert (
        "gave 12 pairs where 50 were asked for; 9 of them, not held out, are used"
        in result.record["prompts"]["notes"][0]
    )
    assert "9 prompts" in result.summary() and result.metrics["held_out"]["n_seen"] == 0
    with pytest.raises(RunError, match="needs its tokenizer"):
        discover(hf, PAIRS, out=None)
    with pytest.raises(RunError, match="other models bring their own"):
        discover("acdc-small", "ioi", tokenizer=number_tokenizer(), out=None)
    named = discover(hf, PAIRS, tokenizer=number_tokenizer(), task_options={"name": "mine"}, tau=0.5, out=None)
    assert named.arguments["task_name"] == "mine"


@pytest.mark.parametrize(("bos", "before"), [(None, ["<b>"]), (True, ["<b>"]), (False, [])])
def test_what_stands_before_prompts_is_recorded_and_taken_up_again(hf, tmp_path: Path, bos, before) -> None:
    model = PatchableModel(hf, number_tokenizer(), name="tiny")
    result = discover(model, Shuffled, n=8, bos=bos, tau=0.05, out=tmp_path)
    assert result.arguments["bos"] is bos and result.record["prompts"]["before"] == before
    assert result.circuit.provenance["bos"] is bos
    again, warning = reload(result.path, model=model, task=Shuffled).discovery_problem()
    assert warning is None and again.batch.clean[0, : again.batch.n_pos - 3].tolist() == [0] * len(before)
    other = reload(result.path, model=model, task=Shuffled, bos=not before).problem()
    assert other.batch.n_pos != again.batch.n_pos


def test_a_task_that_fell_short_gives_the_same_prompts_again(hf, tmp_path: Path) -> None:
    """Asked for as few as it gave, it would draw others."""
    model = PatchableModel(hf, number_tokenizer(), name="tiny")
    result = discover(model, Shuffled, n=50, tau=0.05, out=tmp_path)
    assert result.arguments["n"] == 9 and result.arguments["n_asked"] == 50
    for run in (result.path, result.path / "circuit.json", result.circuit):
        problem, warning = reload(run, model=model, task=Shuffled).discovery_problem()
        assert warning is None and problem.batch.fingerprint == result.record["prompts_sha256"]
    report = evaluate(result.path, model=model, task=Shuffled, only=["faithfulness"], save=False).report
    assert report["prompts"]["n_seen"] == 0 and report["prompts"]["n"] == 3


def test_the_model_is_asked_what_the_tokenizer_s_own_call_would_ask_it(hf) -> None:
    tokenizer = number_tokenizer()
    problem = Problem.make(PatchableModel(hf, tokenizer), PromptBatch.from_pairs(PAIRS, tokenizer))
    for pair, logits in zip(PAIRS, problem.clean.logits, strict=True):
        with torch.no_grad():
            theirs = hf(**tokenizer(pair.clean, return_tensors="pt")).logits[0, -1]
        assert torch.allclose(logits, theirs, atol=1e-9)


def test_every_run_keeps_its_prompts(tmp_path: Path) -> None:
    model = PatchableModel(tiny_model("gpt2").hf, number_tokenizer(), name="tiny")
    result = discover(model, Shuffled, n=5, tau=0.05, out=tmp_path)
    assert result.path / "prompts.jsonl" in result.files
    rows = [json.loads(line) for line in (result.path / "prompts.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows] == ["discovery"] * 5 + ["held-out"] * 5
    first = rows[0]
    i = first["clean_ids"][1]
    assert first["clean_tokens"] == ["<b>", str(i), str(i + 1), "3"] and first["corrupt_ids"] == [0, i, i + 20, 3]
    assert (first["correct"], first["wrong_ids"], first["target"]) == ([str(i + 1)], [i + 20], 3)
    assert first["clean"] == f"<b> {i} {i + 1} 3"


def test_prompts_are_written_and_read_back(tmp_path: Path) -> None:
    """Saving and loading is the identity, up to what is cut off behind the target."""
    model = tiny_model("gpt2")
    ids = [PromptPair([i, i + 1, 3], [i, i + 2, 3], [4, 5], [6], target=1) for i in range(4)]
    batch = discover(model, ids, out=tmp_path, tau=0.5, n=3, task_options={"held_out": ids[3:]})
    saved = read_prompts(batch.path / "prompts.jsonl", "prompts")
    assert saved.batch(model.tokenizer, 3).fingerprint == batch.record["prompts_sha256"]
    assert saved.batch(model.tokenizer, 3, held_out=True).clean[0].tolist() == [3, 4]
    path = write_prompts(tmp_path / "again.jsonl", model.tokenizer, saved.batch(NumberTokenizer(), 3), None)
    assert read_prompts(path, "x").batch(model.tokenizer, 3).fingerprint == batch.record["prompts_sha256"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no prompts of the discovery"),
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is damaged"),
        ('{"split": "discovery", "clean_ids": ["a"]}', "line 1 is damaged: 'clean_ids.0'"),
        ('{"split": "other"}', "line 1 is damaged: 'split'"),
    ],
)
def test_damaged_prompts_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_prompts(path, "x")


@pytest.mark.slow
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_prompts_give_one_line(data: st.DataObject) -> None:
    """Whatever is done to the file: prompts that fit the tokenizer come out, or one short line."""
    pairs = [replace(pair, spans={"a": 0}) for pair in PAIRS[:4]]
    batch = PromptBatch.from_pairs(pairs, number_tokenizer())
    with tempfile.TemporaryDirectory() as folder:
        path = write_prompts(Path(folder) / "prompts.jsonl", number_tokenizer(), batch, batch)
        content = path.read_bytes()
        if data.draw(st.booleans()):
            path.write_bytes(data.draw(changed_bytes(content)))
        else:
            rows = data.draw(changed_value([json.loads(line) for line in content.splitlines()]))
            rows = rows if isinstance(rows, list) else [rows]
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        try:
            read_prompts(path, "x").batch(number_tokenizer(), 4)
        except ACDCError as error:
            assert len(str(error)) < 700 and str(error).isprintable()


def test_spans_are_kept_with_the_prompts(tmp_path: Path) -> None:
    pairs = [
        PromptPair([1, 2, 3, 4], [1, 2, 5, 4], [6], spans={"b": 2, "a": 1}),
        PromptPair([2, 3, 7], [2, 5, 7], [6], spans={"a": 0, "b": 1}),
    ]
    batch = PromptBatch.from_pairs(pairs, number_tokenizer())
    path = write_prompts(tmp_path / "prompts.jsonl", number_tokenizer(), batch, None)
    assert json.loads(path.read_text().splitlines()[1])["spans"] == {"a": [0], "b": [1], "end": [2]}
    again = read_prompts(path, "x").batch(number_tokenizer(), 2).named
    assert batch.named is not None and again is not None
    assert again.names == batch.named.names
    assert torch.equal(again.ids, batch.named.ids)


def test_a_run_on_a_list_is_evaluated_from_its_folder(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    pairs = [PromptPair([i, i + 1, 3], [i, i + 20, 3], [4], [5]) for i in range(12)]
    result = discover(model, pairs, tau=0.02, out=tmp_path)
    found = evaluate(result.path, model=model, only=["faithfulness"])
    assert found.report["parts"]["faithfulness"]["n_prompts"] == 3
    assert any("gave 3 pairs where 100 were asked for" in warning for warning in found.report["warnings"])
    steady = evaluate(result.path, model=model, only=["stability"], stability=2, save=False).report["parts"][
        "stability"
    ]
    assert "the same prompts for every seed" in steady["left_out"], "found again on the same prompts proves nothing"
    with pytest.raises(RunError, match="give the list again"):
        evaluate(result.circuit, model=model)
    assert evaluate(result.circuit, model=model, task=pairs, only=["faithfulness"], save=False).report["parts"]


def test_a_run_is_measured_again_on_the_prompts_that_it_has_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose code has changed, so that it draws other prompts now."""
    model = PatchableModel(tiny_model("gpt2").hf, number_tokenizer(), name="tiny")
    result = discover(model, Shuffled, tau=0.05, out=tmp_path)
    assert result.arguments["n"] == 9
    monkeypatch.setattr(Shuffled, "pairs", lambda self, tokenizer, n, rng: rng.sample(PAIRS[:8], min(n, 8)))
    problem, warning = reload(result.path, model=model).discovery_problem()
    assert problem.batch.fingerprint == result.record["prompts_sha256"]
    assert "those that the run has kept (prompts.jsonl)" in warning


def test_a_task_that_prints_leaves_json_alone_and_one_that_exits_is_told(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "print('at import')\nfrom acdc import PromptPair, Task\nclass T(Task):\n    name = 'noisy'\n"
        "    def pairs(self, tokenizer, n, rng):\n        print('in pairs')\n"
        "        return [PromptPair(' a b', ' c b', [' d'])]\n"
    )
    command = [
        sys.executable,
        "-m",
        "acdc",
        "discover",
        f"{noisy}:T",
        "--model",
        "recall-planted",
        "--tau",
        "1",
        "--json",
    ]
    told = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 0 and json.loads(told.stdout)["arguments"]["n"] == 1
    assert "at import" in told.stderr and "in pairs" in told.stderr
    noisy.write_text("import sys\nsys.exit(0)\n")
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2 and told.stdout == ""
    assert "calls sys.exit(0)" in told.stderr and "line 2" in told.stderr


COMMANDS = [
    (path.stem, node)
    for path in sorted((Path(acdc.__file__).parent / "cli").glob("*.py"))
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and any("app.command" in ast.unparse(each) for each in node.decorator_list)
]


@pytest.mark.parametrize(("module", "command"), COMMANDS, ids=[f"{module}-{node.name}" for module, node in COMMANDS])
def test_no_option_of_a_command_is_accepted_and_ignored(module: str, command: ast.FunctionDef) -> None:
    given = {argument.arg for argument in (*command.args.args, *command.args.kwonlyargs)} - {"debug"}
    read = {node.id for each in command.body for node in ast.walk(each) if isinstance(node, ast.Name)}
    assert given <= read, given - read


def test_no_bos_on_the_command_line_is_recorded_and_evaluated_so(hf, tmp_path: Path, capsys) -> None:
    hf.to(torch.float32).save_pretrained(tmp_path / "model")
    hf.to(torch.float64)
    number_tokenizer().save_pretrained(tmp_path / "model")
    task = f"{__name__}:Shuffled"
    common = ["--model", str(tmp_path / "model"), "--tau", "0.5", "--n", "8", "--out", str(tmp_path / "out"), "--json"]
    found = []
    for option, bos, before in ((None, None, ["<b>"]), ("--bos", True, ["<b>"]), ("--no-bos", False, [])):
        assert main(["discover", task, *common, *([option] if option else [])]) == 0
        run = json.loads(capsys.readouterr().out)
        assert (run["arguments"]["bos"], run["prompts"]["before"]) == (bos, before)
        command = [
            "evaluate",
            run["path"],
            "--task",
            task,
            "--only",
            "faithfulness",
            "--prompts",
            "discovery",
            "--json",
        ]
        assert main(command) == 0
        evaluated = json.loads(capsys.readouterr().out)
        assert evaluated["prompts_sha256"]["evaluation"] == run["prompts_sha256"], "as the run's prompts started"
        found.append(run["prompts_sha256"])
        opposite = "--no-bos" if before else "--bos"
        assert main([*command, opposite]) == 0
        assert json.loads(capsys.readouterr().out)["prompts_sha256"]["evaluation"] != run["prompts_sha256"]
    assert found[0] == found[1] != found[2]


def test_giant_numbers_are_refused_before_any_work() -> None:
    with pytest.raises(TaskError, match="at most 1,000,000"):
        discover("no/such-model", "ioi", n=10**9, out=None)
