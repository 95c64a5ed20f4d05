"""Paired prompts, and the checked, tokenised batch that everything downstream reads.

Every prompt is cut after its target (a causal model's later tokens can't matter there) and padded on the left, so that
the target is the last column of every row. Padding is masked and positions count from each prompt's first token, so a
prompt's logits depend neither on the padding nor on its neighbours.
"""

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.errors import TaskError

__all__ = ["PromptBatch", "PromptPair", "encode", "single_token"]


@dataclass(frozen=True)
class PromptPair:
    """A clean prompt, its corrupted twin, and the answers.

    Args:
        clean, corrupt: Text, or token ids. Both sides must have the same number of tokens.
        correct: Answers counted as right: text that is one token (with its leading space where the tokenizer has one),
            or token ids.
        wrong: Answers counted as wrong.
        target: The token position whose logits predict the answer, as a Python index into the prompt's tokens. A
            prompt with several targets is several pairs.
    """

    clean: str | Sequence[int]
    corrupt: str | Sequence[int]
    correct: Sequence[str | int]
    wrong: Sequence[str | int] = ()
    target: int = -1


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of `text`, without special tokens."""
    return list(tokenizer.encode(text, add_special_tokens=False))


def single_token(tokenizer: Any, text: str) -> int | None:
    """The id of the one token that spells `text`, or None where it takes several or is unknown.

    Compared without outer spaces, which some tokenizers drop when they decode.
    """
    ids = encode(tokenizer, text)
    if len(ids) != 1 or ids[0] in (tokenizer.unk_token_id,):
        return None
    return ids[0] if tokenizer.decode(ids).strip() == text.strip() else None


@dataclass(frozen=True)
class PromptBatch:
    """Clean and corrupted prompts as tensors; the last column of each row is its target position.

    Attributes:
        clean, corrupt: Token ids, padded on the left.
        attention: True at real tokens.
        correct, wrong: Token ids of the answers, filled up with -1.
        task: Name of the task, for messages.
    """

    clean: Int[Tensor, "batch pos"]
    corrupt: Int[Tensor, "batch pos"]
    attention: Bool[Tensor, "batch pos"]
    correct: Int[Tensor, "batch n_correct"]
    wrong: Int[Tensor, "batch n_wrong"]
    task: str = "task"

    @classmethod
    def from_pairs(
        cls,
        pairs: Sequence[PromptPair],
        tokenizer: Any,
        *,
        task_name: str = "task",
        prepend_bos: bool = False,
    ) -> "PromptBatch":
        """Tokenise and check pairs.

        Raises:
            TaskError: No pairs; two sides of different lengths or without any difference up to the target; an answer
                that isn't one token; a target outside the prompt; no correct answer, or one that is also wrong.
        """
        if not pairs:
            raise TaskError(f"task {task_name!r} gave no prompt pairs: at least one is needed")
        rows = [
            _Row.read(pair, tokenizer, f"task {task_name!r}, pair {i}", prepend_bos) for i, pair in enumerate(pairs)
        ]
        return cls(
            clean=_fill_left([row.clean for row in rows], 0),
            corrupt=_fill_left([row.corrupt for row in rows], 0),
            attention=_fill_left([[1] * len(row.clean) for row in rows], 0).bool(),
            correct=_fill_right([row.correct for row in rows]),
            wrong=_fill_right([row.wrong for row in rows]),
            task=task_name,
        )

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.clean.shape[0]

    @property
    def n_pos(self) -> int:
        """Number of columns: the longest prompt's tokens up to its target."""
        return self.clean.shape[1]

    @cached_property
    def position_ids(self) -> Int[Tensor, "batch pos"]:
        """Each token's position in its own prompt; 0 at padding."""
        return (self.attention.long().cumsum(1) - 1).clamp_min(0)

    @cached_property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Tokens of each prompt up to its target."""
        return self.attention.sum(1)

    @cached_property
    def first_difference(self) -> int:
        """The first column in which any clean prompt differs from its corrupted twin."""
        return int((self.clean != self.corrupt).any(0).nonzero()[0])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that the batch holds: equal for equal prompts and answers."""
        digest = hashlib.sha256()
        for tensor in (self.clean, self.corrupt, self.attention.long(), self.correct, self.wrong):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def n_shared(self, other: "PromptBatch") -> int:
        """How many of these pairs are also in the other batch, whatever either is padded with."""
        theirs = set(other._pairs())
        return sum(pair in theirs for pair in self._pairs())

    def _pairs(self) -> list[tuple[tuple[int, ...], ...]]:
        """Each pair's tokens up to its target."""
        rows = zip(self.clean.tolist(), self.corrupt.tolist(), self.lengths.tolist(), strict=True)
        return [(tuple(clean[-length:]), tuple(corrupt[-length:])) for clean, corrupt, length in rows]

    def select(self, rows: Sequence[int] | Tensor) -> "PromptBatch":
        """The batch of the given rows, in that order, without columns that are padding in all of them."""
        index = torch.as_tensor(rows, device=self.clean.device)
        start = self.n_pos - int(self.lengths[index].max())
        clean, corrupt, attention = (side[index][:, start:] for side in (self.clean, self.corrupt, self.attention))
        return PromptBatch(clean, corrupt, attention, self.correct[index], self.wrong[index], self.task)

    def to(self, device: str | torch.device) -> "PromptBatch":
        """The same batch on another device."""
        names = ("clean", "corrupt", "attention", "correct", "wrong")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class _Row:
    """One pair's token ids up to its target, and its answers' ids."""

    clean: list[int]
    corrupt: list[int]
    correct: list[int]
    wrong: list[int]

    @classmethod
    def read(cls, pair: PromptPair, tokenizer: Any, where: str, prepend_bos: bool) -> "_Row":
        if not isinstance(pair, PromptPair):
            raise TaskError(f"{where}: expected a PromptPair, got {type(pair).__name__}")
        clean, corrupt = (_ids(side, tokenizer, where, prepend_bos) for side in (pair.clean, pair.corrupt))
        if len(clean) != len(corrupt):
            raise TaskError(
                f"{where}: the two sides must have the same number of tokens; clean has {len(clean)} "
                f"({_show(clean, tokenizer)}), corrupted has {len(corrupt)} ({_show(corrupt, tokenizer)})"
            )
        end = _target_end(pair.target, len(clean), where, prepend_bos)
        if clean[:end] == corrupt[:end]:
            raise TaskError(
                f"{where}: clean and corrupted are identical up to the target ({_show(clean[:end], tokenizer)}); "
                "a corrupted prompt must differ, or every edge looks useless"
            )
        correct, wrong = (_answers(answers, tokenizer, where) for answers in (pair.correct, pair.wrong))
        if not correct:
            raise TaskError(f"{where}: at least one correct answer is needed")
        if both := set(correct) & set(wrong):
            raise TaskError(f"{where}: {_show(sorted(both), tokenizer)} is listed both as correct and as wrong")
        return cls(clean[:end], corrupt[:end], correct, wrong)


def _ids(side: str | Sequence[int], tokenizer: Any, where: str, prepend_bos: bool) -> list[int]:
    ids = encode(tokenizer, side) if isinstance(side, str) else [operator.index(token) for token in side]
    if not ids:
        raise TaskError(f"{where}: a prompt is empty")
    _check_range(ids, tokenizer, where)
    if prepend_bos:
        if tokenizer.bos_token_id is None:
            raise TaskError(f"{where}: prepend_bos is asked for, but the tokenizer has no BOS token")
        ids = [tokenizer.bos_token_id, *ids]
    return ids


def _target_end(target: int, length: int, where: str, prepend_bos: bool) -> int:
    """Columns to keep, so that the target is the last one."""
    length -= prepend_bos
    if not -length <= target < length:
        raise TaskError(f"{where}: target {target} is outside the prompt's {length} tokens")
    return target % length + 1 + prepend_bos


def _answers(answers: Sequence[str | int], tokenizer: Any, where: str) -> list[int]:
    if isinstance(answers, str):
        raise TaskError(f"{where}: answers must be a list like [' Mary'], not the bare text {answers!r}")
    ids = []
    for answer in answers:
        token = single_token(tokenizer, answer) if isinstance(answer, str) else operator.index(answer)
        if token is None:
            pieces = tokenizer.convert_ids_to_tokens(encode(tokenizer, str(answer)))
            raise TaskError(
                f"{where}: the answer {answer!r} is not a single token of this tokenizer (it gives {pieces}); "
                "use a word that is one token, often one with a leading space"
            )
        ids.append(token)
    _check_range(ids, tokenizer, where)
    return list(dict.fromkeys(ids))


def _check_range(ids: list[int], tokenizer: Any, where: str) -> None:
    if bad := [token for token in ids if not 0 <= token < len(tokenizer)]:
        raise TaskError(f"{where}: token id {bad[0]} is outside the tokenizer's 0 to {len(tokenizer) - 1}")


def _show(ids: Sequence[int], tokenizer: Any) -> str:
    return repr(tokenizer.decode(list(ids)))


def _fill_left(rows: list[list[int]], fill: int) -> Int[Tensor, "batch pos"]:
    width = max(len(row) for row in rows)
    return torch.tensor([[fill] * (width - len(row)) + row for row in rows], dtype=torch.long)


def _fill_right(rows: list[list[int]]) -> Int[Tensor, "batch width"]:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows], dtype=torch.long).view(len(rows), width)
