"""A task's prompts as a model sees them, in Python and on the command line; and the examples of the docstrings."""

import doctest
import json
from pathlib import Path

import pytest
import torch

import acdc.prompts.pairs
import acdc.prompts.pools
import acdc.task
from acdc import PatchableModel
from acdc.cli import main
from acdc.errors import RunError
from acdc.runs.preview import preview, written
from tests.runs.test_prompt_file import PAIRS, number_tokenizer
from tests.tiny import tiny_model


def test_examples_show_tokens_answers_and_what_the_model_predicts() -> None:
    model = PatchableModel(tiny_model("gpt2").hf, number_tokenizer(), name="tiny")
    found = preview(model, PAIRS, n=4, k=5)
    first = found.examples[0]
    assert (found.before, len(found.examples)) == (("<b>",), 4)
    assert first.clean == ("<b>", "1", "2", "3") and first.corrupt == ("<b>", "1", "21", "3")
    assert (first.correct, first.wrong) == (("2",), ("21",))
    with torch.no_grad():
        p = model.hf(torch.tensor([[0, 1, 2, 3]])).logits[0, -1].softmax(-1)
    assert [each.p for each in first.top["model"]] == pytest.approx(p.sort(descending=True).values[:5].tolist())
    assert first.p_correct == pytest.approx(float(p[2]))
    assert first.right == (first.top["model"][0].token == "2")
    assert preview(model, PAIRS, n=1, bos=False).examples[0].clean == ("1", "2", "3")


def test_without_a_model_the_default_model_s_tokens_are_shown() -> None:
    found = written("ioi", n=2)
    assert found.model == "acdc-small" and found.better is None
    assert all("".join(example.clean).count(example.correct[0]) == 1 for example in found.examples)
    with pytest.raises(RunError, match=r"not bundled.*name a model"):
        written(type("Mine", (acdc.task.PromptList,), {"default_model": "gpt2"}), pairs=PAIRS)


@pytest.mark.parametrize("model", [[], ["--model", "acdc-small"]])
def test_the_program_shows_prompts_of_a_task(model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "ioi", *model, "-n", "2", "--task-option", "order=ABBA"]) == 0
    text = capsys.readouterr().out
    assert text.count("clean ") == text.count("corrupted  |") == 2 and "| to|" in text
    assert ("(right)" in text) == bool(model)
    assert main(["tasks", "ioi", *model, "-n", "2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["examples"]) == 2
    assert len(shown["examples"][0]["top"].get("model", [])) == (5 if model else 0)


def test_examples_show_the_spans_that_the_task_names(capsys: pytest.CaptureFixture[str]) -> None:
    example = written("ioi", n=1, order="ABBA").examples[0]
    assert [example.clean[i] for i in example.spans["IO"]] == list(example.correct)
    assert sorted(i for tokens in example.spans.values() for i in tokens) == list(range(len(example.clean)))
    assert main(["tasks", "ioi", "-n", "1", "--task-option", "order=ABBA"]) == 0
    assert f"IO |{example.correct[0]}|  rest | and|  S1 |{example.wrong[0]}|  S1+1 |" in capsys.readouterr().out
    assert main(["tasks", "examples/agreement.py:Agreement", "-n", "1"]) == 0
    assert "spans" not in capsys.readouterr().out


def test_without_wrong_answers_nothing_is_said_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("acdc-small", "induction", n=2).better is None
    assert main(["tasks", "induction", "--model", "acdc-small", "-n", "2"]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == "A right answer is the most probable token in 2 of 2."


def test_a_task_of_ones_own_is_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from acdc import PromptPair, Task\nclass Mine(Task):\n    name = 'mine'\n"
        "    def pairs(self, tokenizer, n, rng):\n"
        "        return [PromptPair('The keys near the cabinet', 'The key near the cabinet', [' are'], [' is'])]\n"
    )
    assert main(["tasks", f"{path}:Mine", "--model", "acdc-small"]) == 0
    told = capsys.readouterr()
    assert "1. clean      |The| keys| near| the| cabinet|" in told.out
    assert "gave 1 pair where 3 were asked for" in told.out
    assert main(["tasks", "--model", "acdc-small"]) == 2
    assert "name it: acdc tasks ioi" in capsys.readouterr().err


@pytest.mark.parametrize("module", [acdc.prompts.pairs, acdc.prompts.pools])
def test_the_examples_of_the_docstrings_work_as_they_are_written(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
