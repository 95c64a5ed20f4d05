"""Paired prompts, and the checked, tokenised batch that everything downstream reads.

Every prompt is cut after its target (a causal model's later tokens can't matter there) and padded on the left, so that
the target is the last column of every row. Padding is masked and positions count from each prompt's first token, so a
prompt's logits depend neither on the padding nor on its neighbours.

What stands before a text is what the tokenizer itself puts there: a model whose tokenizer adds a BOS token is at a loss
without it. What a tokenizer adds behind a text (EOS) is left out: the model is to go on there.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.prompts.alignment import unequal_lengths
from acdc.prompts.answers import SINGLE, answer_ids, check_answers
from acdc.prompts.chat import templated
from acdc.prompts.lead import Lead, check_range
from acdc.prompts.pairs import PromptPair, checked
from acdc.prompts.span_tokens import NamedSpans, Sides, named_spans, spans_of_tokens
from acdc.prompts.spans import checked_spans
from acdc.prompts.teacher_forcing import forced_rows
from acdc.prompts.tokens import encode, names_of, single_token

__all__ = ["MAX_PAIRS", "PromptBatch", "PromptPair", "check_count", "encode", "single_token"]

MAX_PAIRS = 1_000_000


def check_count(n: Any) -> None:
    """Raise `TaskError` unless `n` is a number of prompt pairs that a batch can have."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise TaskError(f"n must be a positive number of prompt pairs, not {n!r}")
    if n > MAX_PAIRS:
        raise TaskError(f"n must be at most {MAX_PAIRS:,} prompt pairs, not {n:,}")


@dataclass(frozen=True)
class PromptBatch:
    """Clean and corrupted prompts as tensors; the last column of each row is its target position.

    Attributes:
        clean, corrupt: Token ids, padded on the left.
        attention: True at real tokens.
        correct, wrong: Token ids of the answers, filled up with -1.
        task: Name of the task, for messages.
        before: Names of the special tokens that were put before the prompts; none stand before those that are given as
            ids, unless they were asked for.
        notes: What a reader of the results must know of the prompts, in words.
        spans: Names of the spans by which edges are split, in the order in which they come; the last one holds every
            prompt's target. Empty: edges are not split.
        span_ids: Which span each token is in.
        pair_ids: Which pair each row is of, from 0, where an answer has several tokens: each row then asks for one
            token, after the answer so far (`acdc.prompts.teacher_forcing`). None: a row a pair.
        named: The spans that the task names, whether or not edges are split by them; None: it names none.
    """

    clean: Int[Tensor, "batch pos"]
    corrupt: Int[Tensor, "batch pos"]
    attention: Bool[Tensor, "batch pos"]
    correct: Int[Tensor, "batch n_correct"]
    wrong: Int[Tensor, "batch n_wrong"]
    task: str = "task"
    before: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    span_ids: Int[Tensor, "batch pos"] | None = None
    named: NamedSpans | None = None
    pair_ids: Int[Tensor, " batch"] | None = None

    @classmethod
    def from_pairs(
        cls,
        pairs: Sequence[PromptPair],
        tokenizer: Any,
        *,
        task_name: str = "task",
        bos: bool | None = None,
        bare_ids: bool = False,
        answers: str = SINGLE,
    ) -> "PromptBatch":
        """Tokenise and check pairs.

        Args:
            bos: What stands before a prompt. None: before a text, the special tokens that the tokenizer itself puts
                there; before token ids nothing, they are used as given. True: a BOS token, before all. False: nothing.
            bare_ids: Whether token ids are given without special tokens, and so are to get those that a text gets.
            answers: What becomes of answers of several tokens: `single` refuses them, `whole` takes them as they are,
                asked for token by token, `first` their first token.

        Raises:
            TaskError: No pairs; a field that isn't of its kind; two sides of different lengths or without any
                difference up to the target; an answer that isn't one token; a target outside the prompt; no correct
                answer, or one that is also wrong; a prompt that would start with two BOS tokens; a span that can't be
                found.
        """
        if not pairs:
            raise TaskError(f"task {task_name!r} gave no prompt pairs: at least one is needed")
        named = [(pair, f"task {task_name!r}, pair {i}") for i, pair in enumerate(pairs)]
        plain = [templated(checked(pair, where), tokenizer, where) for pair, where in named]
        lead = Lead.read(plain, tokenizer, task_name, bos, bare_ids)
        check_answers(answers)
        read = [_Row.read(pair, tokenizer, where, lead, answers) for pair, (_, where) in zip(plain, named, strict=True)]
        rows = [row for of_pair in read for row in of_pair]
        pair_ids = [i for i, of_pair in enumerate(read) for _ in of_pair]
        return cls(
            clean=_fill_left([row.clean for row in rows], 0),
            corrupt=_fill_left([row.corrupt for row in rows], 0),
            attention=_fill_left([[1] * len(row.clean) for row in rows], 0).bool(),
            correct=_fill_right([row.correct for row in rows]),
            wrong=_fill_right([row.wrong for row in rows]),
            task=task_name,
            before=tuple(names_of(tokenizer, lead.text or lead.ids)),
            notes=lead.notes(tokenizer),
            named=named_spans([row.spans for row in rows], [list(plain[i].spans) for i in pair_ids], task_name),
            pair_ids=None if len(rows) == len(plain) else torch.tensor(pair_ids),
        )

    @property
    def n(self) -> int:
        """Number of rows: of pairs, unless answers have several tokens."""
        return self.clean.shape[0]

    @cached_property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return self.n if self.pair_ids is None else len(self.pair_ids.unique())

    @property
    def n_pos(self) -> int:
        """Number of columns: the longest prompt's tokens up to its target."""
        return self.clean.shape[1]

    @property
    def rows_per_pair(self) -> float:
        """What a mean over rows is to be multiplied by, to be the mean over pairs of each pair's sum."""
        return self.n / self.n_pairs

    @cached_property
    def position_ids(self) -> Int[Tensor, "batch pos"]:
        """Each token's position in its own prompt; 0 at padding."""
        return (self.attention.long().cumsum(1) - 1).clamp_min(0)

    @cached_property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Tokens of each prompt up to its target."""
        return self.attention.sum(1)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that the batch holds: equal for equal prompts and answers."""
        digest = hashlib.sha256()
        tensors = [self.clean, self.corrupt, self.attention.long(), self.correct, self.wrong]
        if self.span_ids is not None:
            digest.update(repr(self.spans).encode())
            tensors.append(self.span_ids.masked_fill(~self.attention, 0))
        if self.pair_ids is not None:
            tensors.append(self.pair_ids)
        for tensor in tensors:
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def n_shared(self, other: "PromptBatch") -> int:
        """How many of these pairs are also in the other batch, whatever either is padded with."""
        theirs = set(other._pairs())
        return sum(pair in theirs for pair in self._pairs())

    def _pairs(self) -> list[tuple[tuple[int, ...], ...]]:
        """Each pair's tokens up to its target, or to its answers' first token that is asked for."""
        rows = list(zip(self.clean.tolist(), self.corrupt.tolist(), self.lengths.tolist(), strict=True))
        first = range(self.n) if self.pair_ids is None else _firsts(self.pair_ids.tolist())
        return [
            (tuple(clean[-length:]), tuple(corrupt[-length:])) for clean, corrupt, length in (rows[i] for i in first)
        ]

    def select(self, rows: Sequence[int] | Tensor) -> "PromptBatch":
        """The batch of the given rows, in that order, without columns that are padding in all of them."""
        index = torch.as_tensor(rows, device=self.clean.device)
        start = self.n_pos - int(self.lengths[index].max())
        return self._changed(lambda side: side[index][:, start:], lambda answers: answers[index])

    def select_pairs(self, pairs: Sequence[int]) -> "PromptBatch":
        """The batch of the given pairs, counted from 0, in that order; one that is named twice is two pairs."""
        if self.pair_ids is None:
            return self.select(pairs)
        ids = self.pair_ids.tolist()
        order = sorted(set(ids))
        rows = [[row for row, pair in enumerate(ids) if pair == order[wanted]] for wanted in pairs]
        found = self.select([row for of_pair in rows for row in of_pair])
        again = [i for i, of_pair in enumerate(rows) for _ in of_pair]
        return replace(found, pair_ids=torch.tensor(again, device=self.pair_ids.device))

    def to(self, device: str | torch.device) -> "PromptBatch":
        """The same batch on another device."""
        return self._changed(lambda side: side.to(device), lambda answers: answers.to(device))

    def _changed(self, side: Callable[[Tensor], Tensor], answers: Callable[[Tensor], Tensor]) -> "PromptBatch":
        """The batch with what has a column for each token changed by `side`, and the answers by `answers`."""
        changed = {name: side(getattr(self, name)) for name in ("clean", "corrupt", "attention")}
        changed |= {name: answers(getattr(self, name)) for name in ("correct", "wrong")}
        if self.span_ids is not None:
            changed["span_ids"] = side(self.span_ids)
        if self.pair_ids is not None:
            changed["pair_ids"] = answers(self.pair_ids)
        named = None if self.named is None else replace(self.named, ids=side(self.named.ids))
        return replace(self, **changed, named=named)  # type: ignore[arg-type]


def _firsts(pair_ids: list[int]) -> list[int]:
    """The first row of each pair."""
    return [i for i, pair in enumerate(pair_ids) if pair not in pair_ids[:i]]


@dataclass(frozen=True)
class _Row:
    """One row's token ids up to its target, and its answers' ids."""

    clean: list[int]
    corrupt: list[int]
    correct: list[int]
    wrong: list[int]
    spans: list[str]

    @classmethod
    def read(cls, pair: PromptPair, tokenizer: Any, where: str, lead: Lead, answers: str) -> "list[_Row]":
        """The rows of a pair: one, unless an answer of several tokens is taken whole."""
        clean, corrupt = (_ids(side, tokenizer, where, lead) for side in (pair.clean, pair.corrupt))
        if len(clean) != len(corrupt):
            raise unequal_lengths(clean, corrupt, tokenizer, where)
        end = _target_end(pair.target, len(clean), where, len(lead.before(pair.clean)))
        if clean[:end] == corrupt[:end]:
            raise TaskError(
                f"{where}: clean and corrupted are identical up to the target ({_show(clean[:end], tokenizer)}); "
                "a corrupted prompt must differ, or every edge looks useless"
            )
        correct, wrong = (_answers(listed, tokenizer, where, answers) for listed in (pair.correct, pair.wrong))
        if not correct:
            raise TaskError(f"{where}: at least one correct answer is needed")
        if both := [answer for answer in correct if answer in wrong]:
            raise TaskError(f"{where}: {_show(both[0], tokenizer)} is listed both as correct and as wrong")
        forced = forced_rows(correct, wrong, where)
        if len(forced) > 1 and pair.spans:
            raise TaskError(f"{where}: spans are not named for whole answers of several tokens; leave spans out")
        before = (len(lead.before(pair.clean)), len(lead.before(pair.corrupt)))
        sides = Sides(tokenizer, pair.clean, pair.corrupt, before, len(clean), end, where)
        spans = spans_of_tokens(checked_spans(pair.spans, where), sides) if pair.spans else []
        return [cls(clean[:end] + so_far, corrupt[:end] + so_far, right, foil, spans) for so_far, right, foil in forced]


def _ids(side: str | Sequence[int], tokenizer: Any, where: str, lead: Lead) -> list[int]:
    ids = encode(tokenizer, side) if isinstance(side, str) else list(side)
    if not ids:
        raise TaskError(f"{where}: a prompt is empty")
    check_range(ids, tokenizer, where)
    before = lead.before(side)
    if before and ids[0] == before[-1]:
        name = names_of(tokenizer, before[-1:])[0]
        raise TaskError(
            f"{where}: the prompt starts with {name!r}, and it would be put before it once more; leave it out of the "
            "prompt, or say that none is to be added (bos=False, --no-bos)"
        )
    return [*before, *ids]


def _target_end(target: int, length: int, where: str, n_before: int) -> int:
    """Columns to keep, so that the target is the last one; it counts in the prompt's own tokens."""
    length -= n_before
    if not -length <= target < length:
        raise TaskError(f"{where}: target {target} is outside the prompt's {length} tokens")
    return target % length + 1 + n_before


def _answers(listed: Sequence[Any], tokenizer: Any, where: str, how: str) -> list[list[int]]:
    found = answer_ids(listed, tokenizer, where, how)
    check_range([token for ids in found for token in ids], tokenizer, where)
    return found


def _show(ids: Sequence[int], tokenizer: Any) -> str:
    return repr(tokenizer.decode(list(ids)))


def _fill_left(rows: list[list[int]], fill: int) -> Int[Tensor, "batch pos"]:
    width = max(len(row) for row in rows)
    return torch.tensor([[fill] * (width - len(row)) + row for row in rows], dtype=torch.long)


def _fill_right(rows: list[list[int]]) -> Int[Tensor, "batch width"]:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows], dtype=torch.long).view(len(rows), width)
