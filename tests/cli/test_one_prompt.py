"""One pair of prompts given on the command line: found, kept in the run, and there again."""

import json
from pathlib import Path

import pytest

from acdc import OnePrompt, discover, explain
from acdc.cli import main
from acdc.interpret.sections import SECTIONS
from acdc.runs.discover import load_run
from acdc.runs.reload import reload

PAIR = ["--clean", "The capital of France is", "--corrupt", "The capital of Spain is"]
ANSWERS = ["--answer", " Paris", "--wrong", " Madrid", "--wrong", " Rome"]
MODEL = ["--model", "acdc-tasks", "--method", "eap"]


def test_a_pair_is_found_and_evaluated_and_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path), "--json"]
    assert main(["discover", *PAIR, *ANSWERS, *MODEL, *out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "the-capital-of-france-is" in found["path"]
    assert found["metrics"]["n_prompts"] == 1 and found["metrics"]["accuracy"]["model"] == 1
    row = json.loads((Path(found["path"]) / "prompts.jsonl").read_text().splitlines()[0])
    assert (row["correct"], row["wrong"]) == ([" Paris"], [" Madrid", " Rome"])
    assert main(["evaluate", found["path"], "--only", "faithfulness", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["parts"]["faithfulness"]["n_prompts"] == 1
    assert main(["show", found["path"]]) == 0
    assert "' Paris'" in capsys.readouterr().out
    assert load_run(found["path"]).circuit.n_edges == found["metrics"]["n_edges"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ioi", *PAIR], "--clean, --corrupt give a pair of prompts instead of the task 'ioi'"),
        (PAIR, "a pair of prompts needs --answer too"),
        (PAIR[:2], "a pair of prompts needs --corrupt (its twin) and --answer too"),
        ([*PAIR, *ANSWERS], "name the model whose answers"),
        ([*PAIR, "--answer", "Paris", *MODEL], "did you mean ' Paris', with the space before it?"),
        ([*PAIR[:2], "--corrupt", PAIR[1], *ANSWERS, *MODEL], "identical up to the target"),
    ],
)
def test_what_is_missing_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", *words]) == 2
    assert message in capsys.readouterr().err


def test_sides_of_different_lengths_are_shown_in_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["discover", "--clean", "The capital of France", "--corrupt", "The capital France", *ANSWERS, *MODEL]) == 2
    )
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "  clean     |The| capital| of| France|",
        "  corrupted |The| capital|   | France|",
        "                          ^^^",
    ]


def test_answers_of_several_tokens_are_taken_whole_or_by_their_first_and_kept_in_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PAIR, "--answer", " Paris is the", "--wrong", " Madrid is", "--out", str(tmp_path), "--json"]
    assert main(["discover", *words, *MODEL]) == 2
    assert "--whole-answer" in capsys.readouterr().err
    assert main(["discover", *words, *MODEL, "--whole-answer", "--first-token"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main(["discover", *words, *MODEL, "--first-token"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["metric"] == "logit_diff"
    assert main(["discover", *words, *MODEL, "--whole-answer"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metrics"]["metric"], found["metrics"]["n_prompts"]) == ("answer_logprob", 1)
    row = json.loads((Path(found["path"]) / "prompts.jsonl").read_text().splitlines()[0])
    assert (row["correct"], len(row["correct_ids"][0]), row["wrong"]) == ([" Paris is the"], 3, [" Madrid is"])
    assert reload(found["path"]).discovery_problem()[1] is None
    assert main(["evaluate", found["path"], "--only", "faithfulness", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)["parts"]["faithfulness"]
    assert part["n_prompts"] == 1 and "left_out" not in part
    assert main(["explain", found["path"], "--nodes", "3"]) == 0
    said = capsys.readouterr().out
    assert "direct was left out: it reads one position of a prompt" in said and "Most depends on" in said


def test_a_node_s_effect_on_a_whole_answer_is_that_of_its_tokens_together(tmp_path: Path) -> None:
    task = OnePrompt(PAIR[1], PAIR[3], [" Paris is the"], [" Madrid is"], answers="whole")
    run = discover("acdc-tasks", task, method="eap", n=1, out=tmp_path)
    found = explain(run, nodes=2, n=2, save=False).explanation
    problem, _ = reload(run).discovery_problem()
    assert problem.batch.pair_ids is not None and problem.batch.n > problem.batch.n_pairs == 1
    for card in [card for card in found.nodes if card.effect is not None]:
        mask = problem.graph.edges_mask.clone()
        mask[problem.graph.src_index[card.name]] = False
        rise = problem.loss(problem.logits(mask)) - problem.model_loss
        assert card.effect.value == pytest.approx(rise, rel=1e-4, abs=1e-5) and card.effect.low is None
    assert len(found.prompts) == 1 and not found.lenses and found.agreement is None
    assert {note.partition(" ")[0] for note in found.notes if "one position of a prompt" in note} == {
        name for name, section in SECTIONS.items() if not section.whole_answers
    }


def test_a_data_file_is_a_task_with_its_columns_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cities.csv"
    rows = ("France,Spain,Paris", "Spain,Italy,Madrid", "New Zealand,Italy,Wellington")
    lines = (row.split(",") for row in rows)
    text = "".join(f"The capital of {a} is,The capital of {b} is, {city}\n" for a, b, city in lines)
    path.write_text(f"text,other,label\n{text}")
    words = ["--columns", "clean=text,corrupt=other,answer=label", "--model", "acdc-tasks", "--json"]
    assert main(["tasks", str(path), *words]) == 2
    assert "1 of 3 rows can't be used (line 4: the two sides" in capsys.readouterr().err
    assert main(["tasks", str(path), "--skip-bad", *words]) == 0
    assert [example["correct"] for example in json.loads(capsys.readouterr().out)["examples"]] == [
        [" Paris"],
        [" Madrid"],
    ]
    assert main(["discover", str(path), "--skip-bad", "--method", "eap", "--out", str(tmp_path), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "/cities/acdc-tasks/eap/" in found["path"] and any("left out" in text for text in found["warnings"])
    assert main(["tasks", "ioi", "--skip-bad"]) == 2
    assert "unknown option of task 'ioi' 'skip_bad'" in capsys.readouterr().err
