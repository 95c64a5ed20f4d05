"""`prompts.jsonl`: the prompts of a run, a line each, as people read them and as the run can be measured on again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc.errors import FileError
from acdc.files import parse_json, read_bytes, validated, write_atomically
from acdc.interpret.explanation import PromptCard
from acdc.prompts.answers import SINGLE, WHOLE
from acdc.prompts.batch import PromptBatch
from acdc.prompts.pairs import PromptPair
from acdc.prompts.tokens import names_of
from acdc.task import PromptList

__all__ = ["PROMPTS", "SavedPrompts", "prompt_rows", "read_cards", "read_prompts", "write_prompts"]

PROMPTS = "prompts.jsonl"
DISCOVERY, HELD_OUT = "discovery", "held-out"


def prompt_rows(batch: PromptBatch, tokenizer: Any, split: str) -> Iterator[dict[str, Any]]:
    """Each pair of a batch as text, tokens and ids, up to its target, with its spans and its answers."""
    for rows in _rows_of_pairs(batch):
        i = rows[0]
        start = batch.n_pos - int(batch.lengths[i])
        line: dict[str, Any] = {"split": split}
        for name, side in (("clean", batch.clean), ("corrupt", batch.corrupt)):
            ids = side[i, start:].tolist()
            line |= {name: tokenizer.decode(ids), f"{name}_tokens": names_of(tokenizer, ids), f"{name}_ids": ids}
        for name, side in (("correct", batch.correct), ("wrong", batch.wrong)):
            answers = _answers(side, rows)
            texts = [tokenizer.decode(answer if isinstance(answer, list) else [answer]) for answer in answers]
            line |= {name: texts, f"{name}_ids": answers}
        if batch.named is not None:
            line["spans"] = batch.named.tokens(i, start)
        yield line | {"target": len(line["clean_ids"]) - 1}


def _answers(side: Int[Tensor, "batch n"], rows: list[int]) -> list[int | list[int]]:
    """A pair's answers: tokens, or one answer of several tokens, of which each row has one."""
    ids = [token for row in rows for token in side[row].tolist() if token >= 0]
    return [ids] if len(rows) > 1 and len(ids) > 1 else [*ids]


def _rows_of_pairs(batch: PromptBatch) -> list[list[int]]:
    """The rows of each pair."""
    if batch.pair_ids is None:
        return [[row] for row in range(batch.n)]
    ids = batch.pair_ids.tolist()
    return [[row for row, pair in enumerate(ids) if pair == wanted] for wanted in sorted(set(ids))]


def write_prompts(path: Path, tokenizer: Any, discovery: PromptBatch, held_out: PromptBatch | None) -> Path:
    """Write the prompts of a run: those that the circuit was found on, and those that it was judged on.

    Raises:
        FileError: The file can't be written.
    """
    rows = list(prompt_rows(discovery, tokenizer, DISCOVERY))
    if held_out is not None:
        rows += prompt_rows(held_out, tokenizer, HELD_OUT)
    return write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def read_cards(path: Path, most: int) -> list[PromptCard]:
    """The first prompts of each side, token by token, without what is predicted; none where there is no such file.

    Raises:
        FileError: The file can't be read or is damaged.
    """
    found: dict[str, list[PromptCard]] = {HELD_OUT: [], DISCOVERY: []}
    for value, where in _lines(path) if path.exists() else ():
        line = validated(_Words, value, what=f"{where} is damaged")
        if len(found[line.split]) < most:
            found[line.split].append(
                PromptCard(
                    clean=line.clean_tokens,
                    corrupt=line.corrupt_tokens,
                    spans=line.spans,
                    correct=line.correct,
                    wrong=line.wrong,
                    held_out=line.split == HELD_OUT,
                )
            )
    return [card for cards in found.values() for card in cards]


def _lines(path: Path) -> Iterator[tuple[Any, str]]:
    """The value of each line, and where it stands."""
    for i, text in enumerate(read_bytes(path).splitlines()):
        where = f"{path}, line {i + 1}"
        try:
            yield parse_json(text), where
        except FileError as error:
            raise FileError(f"{where} {error}") from None


class SavedPrompts(PromptList):
    """The prompts of a run: token ids that need nothing before them."""

    summary = "the prompts that a run has kept"

    def batch(
        self, tokenizer: Any, n: int, seed: int = 0, *, held_out: bool = False, bos: bool | None = None
    ) -> PromptBatch:
        """The first `n` of one side; whatever stands before a prompt is part of its ids."""
        return super().batch(tokenizer, n, seed, held_out=held_out, bos=False)


class _Side(BaseModel):
    model_config = ConfigDict(strict=True)

    split: Literal["discovery", "held-out"]
    spans: dict[str, list[int]] = {}


class _Words(_Side):
    """A line as people read it."""

    clean_tokens: list[str]
    corrupt_tokens: list[str]
    correct: list[str]
    wrong: list[str]


class _Line(_Side):
    """A line as it is measured on."""

    clean_ids: list[int]
    corrupt_ids: list[int]
    correct_ids: list[int | list[int]]
    wrong_ids: list[int | list[int]]
    target: int


def read_prompts(path: Path, name: str) -> SavedPrompts:
    """The prompts of a run as a task of this name.

    Raises:
        FileError: The file can't be read or is damaged.
    """
    sides: dict[str, list[PromptPair]] = {DISCOVERY: [], HELD_OUT: []}
    for value, where in _lines(path):
        line = validated(_Line, value, what=f"{where} is damaged")
        pair = PromptPair(
            line.clean_ids, line.corrupt_ids, line.correct_ids, line.wrong_ids, line.target, dict(line.spans)
        )
        sides[line.split].append(pair)
    if not sides[DISCOVERY]:
        raise FileError(f"{path} is damaged: it has no prompts of the discovery")
    pairs = [pair for side in sides.values() for pair in side]
    several = any(isinstance(answer, list) for pair in pairs for answer in (*pair.correct, *pair.wrong))
    answers = WHOLE if several else SINGLE
    return SavedPrompts(sides[DISCOVERY], name=name, held_out=sides[HELD_OUT], answers=answers)
