"""By what a batch's edges are split."""

import pytest
import torch

from acdc.errors import TaskError, UnknownNameError
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.prompts.positions import split_as, split_by
from tests.tiny import NumberTokenizer

LONG = PromptPair([1, 2, 3, 4, 5], [1, 9, 3, 4, 5], [6], spans={"a": 1, "b": 3})
SHORT = PromptPair([2, 3, 4], [8, 3, 4], [6], spans={"b": 1, "a": 0})
BARE = PromptPair([1, 2, 3], [1, 9, 3], [6])


def batch_of(*pairs: PromptPair) -> PromptBatch:
    return PromptBatch.from_pairs(pairs, NumberTokenizer(), task_name="toy")


def test_a_batch_is_split_only_when_asked() -> None:
    batch = batch_of(LONG, SHORT)
    assert (batch.spans, batch.span_ids) == ((), None)
    whole = split_by(split_by(batch, "spans"), "all")
    assert (whole.spans, whole.span_ids, whole.fingerprint) == ((), None, batch.fingerprint)


def test_named_spans_split_it() -> None:
    split = split_by(batch_of(LONG, SHORT), "spans")
    assert split.spans == ("prefix", "rest", "a", "b", "end")
    assert split.span_ids is not None and split.span_ids.tolist() == [[0, 2, 1, 3, 4], [0, 0, 2, 3, 4]]


def test_so_does_every_position_of_prompts_of_one_length() -> None:
    split = split_by(batch_of(BARE), "each")
    assert split.spans == ("0", "1", "2")
    assert split.span_ids is not None and torch.equal(split.span_ids, torch.tensor([[0, 1, 2]]))


def test_fingerprints_tell_how_a_batch_is_split() -> None:
    batch = batch_of(LONG)
    prints = {split_by(batch, positions).fingerprint for positions in ("all", "spans", "each")}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("pairs", "positions", "message"),
    [
        ([BARE], "spans", r"names no spans to split by: name them in its pairs, PromptPair\(..., spans=\{'name': \("),
        ([LONG, SHORT], "each", "needs prompts of one length; those of task 'toy' have 3 to 5 tokens"),
        ([PromptPair([1, 2], [1, 3], [6], spans={"a": (0, None)})], "spans", "all tokens are in one span, 'a'"),
    ],
)
def test_what_cannot_be_split_is_told(pairs: list[PromptPair], positions: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        split_by(batch_of(*pairs), positions)


def test_another_word_is_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'each'"):
        split_by(batch_of(BARE), "eachh")


def test_held_out_prompts_are_split_as_those_of_discovery() -> None:
    spans = split_by(batch_of(LONG), "spans").spans
    held_out = split_as(batch_of(SHORT), spans)
    assert held_out.spans == spans
    assert held_out.span_ids is not None and held_out.span_ids.tolist() == [[2, 3, 4]]
    assert split_as(batch_of(SHORT), ()).spans == ()
    each = split_by(batch_of(BARE), "each").spans
    assert split_as(batch_of(SHORT), each).spans == each


@pytest.mark.parametrize(
    ("pair", "spans", "message"),
    [
        (LONG, ("a", "b", "end"), "these prompts have tokens in prefix, rest"),
        (BARE, ("a", "end"), "these prompts have no spans"),
        (LONG, ("0", "1", "2"), "these prompts have tokens in 3, 4"),
        (SHORT, ("a", "end", "b"), "the target must be in span 'b', as in discovery, not in 'end'"),
        (BARE, ("0", "1", "2", "3"), "the target must be in span '3', as in discovery, not in '2'"),
    ],
)
def test_prompts_that_do_not_fit_are_told(pair: PromptPair, spans: tuple[str, ...], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        split_as(batch_of(pair), spans)
