"""Data files as tasks: the field's own columns, rows that can't be used, held-out rows, and what a run keeps."""

import json
from pathlib import Path
from typing import Any

import pytest

from acdc import PromptPair, discover, evaluate
from acdc.errors import FileError, RunError, TaskError, UnknownNameError
from acdc.runs.prompt_file import prompt_rows
from acdc.runs.reload import reload
from acdc.task import PromptFile, PromptList, load_task
from acdc.task.columns import Columns, parsed_columns
from tests.prompts.test_batch import words
from tests.tiny import NumberTokenizer

PAIR = PromptPair("1 2", "1 3", ["4"], ["5"])
IDS = PromptPair("1 2", "1 3", [4], [5])


def row(i: int, **others: Any) -> dict[str, Any]:
    return {"clean": f"{i} 1", "corrupt": f"{i} 2", "answer": "4", "wrong": "5", **others}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    return path


@pytest.mark.parametrize(
    ("values", "pair"),
    [
        ({"clean": "1 2", "corrupted": "1 3", "answer": "4", "wrong": "5"}, PAIR),
        ({"clean": "1 2", "corrupt": "1 3", "answers": ["4"], "wrong_answers": ["5"]}, PAIR),  # auto-circuit
        ({"clean_prefix": "1 2", "patch_prefix": "1 3", "clean_answer": "4", "patch_answer": "5"}, PAIR),
        ({"": 0, "clean": "1 2", "corrupted": "1 3", "correct_idx": "4", "incorrect_idx": "5"}, IDS),  # EAP-IG
        ({"clean": "1 2", "corrupted": "1 3", "country_idx": "4.0", "corrupted_country_idx": "5"}, IDS),
        ({"clean": "1 2", "corrupted": "1 3", "answers_idx": "[4]", "corrupted_answers_idx": "[5]"}, IDS),
        ({"clean": "1 2", "corrupted": "1 3", "answer": "['4']", "wrong": '["5"]'}, PAIR),  # lists in a table
        ({"clean": "1 2", "corrupted": "1 3", "answer": 4, "wrong": [5]}, IDS),
        (  # MIB
            {
                "prompt": "1 2",
                "choices": ["5", "4"],
                "answerKey": 1,
                "abc_counterfactual": {"prompt": "1 3", "choices": [], "answerKey": 0},
            },
            PAIR,
        ),
        ({"prompt": "1 2", "choices": ["4", "5"], "answerKey": "A", "counterfactual": "1 3"}, PAIR),
        ({"clean": [1, 2], "corrupt": [1, 3], "answer": 4, "wrong": 5}, PromptPair([1, 2], [1, 3], [4], [5])),
    ],
)
def test_the_field_s_usual_columns_are_known(values: dict[str, Any], pair: PromptPair) -> None:
    assert Columns.find(values, {}).pair(values) == pair


def test_columns_can_be_named_also_inside_objects() -> None:
    values = {"text": "1 2", "other": {"prompt": {"text": "1 3"}}, "label": "4", "a.b": "5"}
    given = parsed_columns("clean=text, corrupt=other.prompt.text,answer=label,wrong=a.b")
    assert Columns.find(values, given).pair(values) == PAIR
    spaced = Columns.find(values, given, space=True).pair(values)
    assert (spaced.correct, spaced.wrong) == ([" 4"], [" 5"])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("clean=nothing", TaskError, "there is no column 'nothing' for clean: it has the columns 'clean'"),
        ("clear=clean", UnknownNameError, "did you mean 'clean'"),
        ("clean", TaskError, "columns must be like clean=text"),
        ("clean=clean,clean=corrupt", TaskError, "the field 'clean' twice"),
    ],
)
def test_columns_that_are_not_there_are_told(tmp_path: Path, given: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        PromptFile(written(tmp_path / "x.jsonl", [row(1)]), columns=given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "1 2", "corrupt": "1 3"}, r"which columns hold clean, answer; say it \(--columns clean=NAME"),
        ({"clean": "1", "corrupted": "2", "correct_idx": 4}, "holds years in EAP-IG's data"),
        (
            {"clean": "1", "answer": "2", "a_counterfactual": "1", "b_counterfactual": "2"},
            "several counterfactuals are there",
        ),
    ],
)
def test_what_a_file_lacks_is_told(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        PromptFile(written(tmp_path / "x.jsonl", [values]))


BAD = [row(1), row(2, corrupt="2 3 4"), row(3, answer=""), row(4, corrupt="4 1"), row(5, answer="x"), row(6)]


def test_rows_that_can_t_be_used_are_an_error_that_counts_and_names_them(tmp_path: Path) -> None:
    task = PromptFile(written(tmp_path / "x.jsonl", BAD))
    with pytest.raises(TaskError) as caught:
        task.batch(Words(), 6)
    told = str(caught.value)
    assert "4 of 6 rows can't be used (line 2: the two sides must have the same number of tokens" in told
    assert "line 3: at least one correct answer is needed" in told
    assert "line 4: clean and corrupted are identical" in told
    assert "and 1 more" in told and "--skip-bad" in told


def test_they_can_be_left_out_which_is_said(tmp_path: Path) -> None:
    batch = PromptFile(written(tmp_path / "x.jsonl", BAD), skip_bad=True).batch(Words(), 2)
    assert batch.n == 2
    assert "4 of 6 rows can't be used" in batch.notes[0] and batch.notes[0].endswith("they are left out")
    with pytest.raises(TaskError, match=r"1 of 1 row can't be used \(line 1.*\)$"):
        PromptFile(written(tmp_path / "y.jsonl", BAD[1:2]), skip_bad=True).batch(Words(), 2)


class Words(NumberTokenizer):
    unk_token_id = 0

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [int(word) if word.isdigit() else 0 for word in text.replace(":", " 0 ").split()]


def test_a_file_is_split_as_the_same_list_of_pairs_is(tmp_path: Path) -> None:
    task = PromptFile(written(tmp_path / "x.jsonl", [row(i) for i in range(9)]))
    pairs = PromptList([PromptPair(f"{i} 1", f"{i} 2", ["4"], ["5"]) for i in range(9)])
    for held_out in (False, True):
        mine, theirs = (each.batch(NumberTokenizer(), 9, held_out=held_out) for each in (task, pairs))
        assert mine.fingerprint == theirs.fingerprint
    assert task.batch(NumberTokenizer(), 9).n_shared(task.batch(NumberTokenizer(), 9, held_out=True)) == 0


def test_a_column_says_which_rows_are_held_out(tmp_path: Path) -> None:
    rows = [row(i, split="test" if i < 2 else "train") for i in range(6)]
    task = PromptFile(written(tmp_path / "x.jsonl", rows))
    assert task.batch(NumberTokenizer(), 9, held_out=True).clean[:, 0].tolist() == [0, 1]
    assert task.batch(NumberTokenizer(), 9).clean[:, 0].tolist() == [2, 3, 4, 5]
    with pytest.raises(TaskError, match="all rows are held out"):
        PromptFile(written(tmp_path / "y.jsonl", rows[:2])).batch(NumberTokenizer(), 9)


def test_a_run_s_own_prompts_are_read_to_the_same_batch(tmp_path: Path) -> None:
    batch = PromptList([PAIR, PromptPair([0, 7, 8], [0, 8, 8], [1, 2], [3], target=1)]).batch(NumberTokenizer(), 2)
    path = written(tmp_path / "prompts.jsonl", list(prompt_rows(batch, NumberTokenizer(), "discovery")))
    assert PromptFile(path).batch(NumberTokenizer(), 2).fingerprint == batch.fingerprint

    class Other(NumberTokenizer):
        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [f"t{i}" for i in ids]

    with pytest.raises(TaskError, match="of another tokenizer"):
        PromptFile(path).batch(Other(), 2)


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't read"):
        load_task(str(tmp_path / "none.csv"))
    with pytest.raises(TaskError, match=r"must end in \.jsonl"):
        PromptFile(tmp_path / "x.txt")
    with pytest.raises(TaskError, match="skip_bad must be true or false, not 'yes'"):
        PromptFile(written(tmp_path / "x.jsonl", [row(1)]), skip_bad="yes")


CITIES = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Japan": "Tokyo", "Russia": "Moscow", "Egypt": "Cairo"}


@pytest.fixture()
def capitals(tmp_path: Path) -> Path:
    names = list(CITIES)
    rows = [
        {"clean": f"The capital of {a} is", "corrupt": f"The capital of {b} is", "answer": f" {CITIES[a]}"}
        for a, b in zip(names, names[1:] + names[:1], strict=True)
    ]
    return written(tmp_path / "capitals.jsonl", rows)


def test_a_run_records_the_file_and_goes_on_with_what_it_kept_when_that_changes(capitals: Path, tmp_path: Path) -> None:
    found = discover("acdc-tasks", str(capitals), method="eap", n=9, out=tmp_path / "out")
    recorded = found.record["arguments"]
    assert recorded["task"] == str(capitals.resolve()) and recorded["task_sha256"] == load_task(str(capitals)).digest
    assert (found.metrics["n_prompts"], found.metrics["held_out"]["n_prompts"]) == (5, 1)
    assert reload(found.path).warnings == ()
    asked = {"only": ["faithfulness"], "save": False}
    before = evaluate(found.path, **asked).report
    capitals.write_text("\n".join(capitals.read_text().splitlines()[::-1]))
    after = evaluate(found.path, **asked).report
    assert "has changed since the circuit was found" in after["warnings"][0]
    assert after["prompts_sha256"] == before["prompts_sha256"]
    parts = [report["parts"]["faithfulness"] for report in (before, after)]
    assert parts[0] | {"seconds": 0} == parts[1] | {"seconds": 0}
    capitals.unlink()
    assert "can't be used any more" in reload(found.path).warnings[0]
    (found.path / "prompts.jsonl").unlink()
    with pytest.raises(RunError, match="name the task"):
        reload(found.path)


def test_a_task_that_was_made_of_a_file_is_recorded_with_its_options(capitals: Path, tmp_path: Path) -> None:
    task = PromptFile(capitals, columns={"clean": "corrupt", "corrupt": "clean"}, name="back")
    found = discover("acdc-tasks", task, method="eap", n=9, out=tmp_path / "out")
    again = reload(found.path)
    assert again.warnings == () and again.arguments.task.name == "back"
    assert again.discovery_problem()[0].batch.fingerprint == found.record["prompts_sha256"]


def test_prompts_of_a_file_are_messages_where_it_says_so(tmp_path: Path) -> None:
    chat = words("<bos>")
    chat.chat_template = "{% for m in messages %}<bos> {{ m['role'][:0] }}{{ m['content'] }} {% endfor %}"
    message = [{"role": "user", "content": "a b"}]
    rows = [
        {"clean": message, "corrupt": [{"role": "user", "content": "a c"}], "answer": "d"},
        {"clean": json.dumps(message), "corrupt": '[{"role": "user", "content": "a c"}]', "answer": "d"},
        {"clean": "a b", "corrupt": "a c", "answer": "d"},
    ]
    path = written(tmp_path / "x.jsonl", rows)
    asked = PromptFile(path, chat=True, skip_bad=True).batch(chat, 3)
    assert asked.n == 3 and asked.clean.tolist() == [[0, 3, 4]] * 3
    with_system = PromptFile(path, chat=True, system="c").batch(chat, 3)
    assert with_system.clean[2].tolist() == [0, 5, 0, 3, 4]
