"""The logit lens: each row is what a model cut off there would say, and the last row is the model's own output."""

import math
from dataclasses import replace
from unittest import mock

import pytest
import torch

from acdc.errors import ModelError, TaskError
from acdc.interpret.lenses import read_lens
from acdc.interpret.lenses import reading as module
from acdc.metrics.answers import answer_probability
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.prompts.texts import text_batch
from tests.configs import CONFIGS, ONE_EACH
from tests.tiny import KeepDouble, NumberTokenizer, tiny_batch, tiny_model


def cut(model: PatchableModel, n_blocks: int) -> PatchableModel:
    """The model without its last blocks."""
    found = object.__new__(PatchableModel)
    found.__dict__ |= model.__dict__
    found.components = replace(model.components, blocks=model.components.blocks[:n_blocks])
    return found


@pytest.mark.parametrize("family", CONFIGS)
def test_the_last_row_is_the_model_s_own_output(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble(), torch.no_grad():
        found = read_lens(model, batch, top=50)
        for i in range(batch.n):
            alone = batch.select([i])
            own = model.hf(input_ids=alone.clean).logits[0].softmax(-1)
            start = batch.n_pos - alone.n_pos
            said = torch.zeros_like(own).scatter(1, found.tokens[-1, i, start:], found.probabilities[-1, i, start:])
            torch.testing.assert_close(said, own, atol=1e-10, rtol=0)
            expected = torch.stack([answer_probability(row[None].log(), alone.correct)[0] for row in own])
            torch.testing.assert_close(found.probability[-1, i, start:], expected, atol=1e-10, rtol=0)
    assert (found.kl[-1][batch.attention] == 0).all()


@pytest.mark.parametrize("family", ONE_EACH)
def test_a_row_is_the_model_with_the_blocks_above_cut_off(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    with KeepDouble():
        found = read_lens(model, batch, top=50, by_position=False)
        own = run(model, batch, batch.clean).logits.log_softmax(-1)
        for layer in range(model.graph.n_layers):
            said = run(cut(model, layer), batch, batch.clean).logits.log_softmax(-1) if layer else None
            if said is None:  # no block at all
                embedded = model.embed(batch.clean, batch.position_ids)
                said = model.unembed(embedded[:, -1]).log_softmax(-1)
            best = said.sort(-1, descending=True)
            torch.testing.assert_close(found.probabilities[layer, :, 0], best.values.exp(), atol=1e-10, rtol=0)
            assert found.tokens[layer, :, 0, :3].equal(best.indices[:, :3])
            entropy, kl = -(said.exp() * said).sum(-1), (own.exp() * (own - said)).sum(-1)
            torch.testing.assert_close(found.entropy[layer, :, 0], entropy, atol=1e-10, rtol=0)
            torch.testing.assert_close(found.kl[layer, :, 0], kl, atol=1e-10, rtol=0)
            places = [(best.indices == answer).nonzero()[:, 1] for answer in batch.correct[:, :1]]
            ranks = torch.stack([1 + place[i] for i, place in enumerate(places)])
            first_alone = (batch.correct >= 0).sum(1) == 1
            assert found.rank[layer, first_alone, 0].equal(ranks[first_alone])


def test_between_attention_and_mlp_it_reads_resid_mid() -> None:
    model, batch = tiny_model("llama-gqa"), tiny_batch()
    found = read_lens(model, batch, mid=True, by_position=False)
    assert found.rows == ("resid_pre 0", "resid_mid 0", "resid_pre 1", "resid_mid 1", "resid_post 1")
    said = model.unembed(run(model, batch, batch.clean).resid_mid[1][:, -1]).softmax(-1)
    torch.testing.assert_close(found.probabilities[3, :, 0, 0], said.max(-1).values)


def test_the_size_of_the_chunks_changes_no_number() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    whole = read_lens(model, batch)
    told = []
    with mock.patch.object(module, "MEMORY", 3 * 6 * 50 * 8):
        chunked = read_lens(model, batch, progress=told.append)
    assert len(told) == math.ceil(int(batch.attention.sum()) / 3) * len(whole.rows)
    for name in ("tokens", "rank"):
        assert getattr(whole, name).equal(getattr(chunked, name))
    for name in ("probabilities", "probability", "kl", "entropy"):
        torch.testing.assert_close(getattr(whole, name), getattr(chunked, name), equal_nan=True)


def test_the_targets_alone_are_the_last_column_of_all_positions() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    every, targets = read_lens(model, batch), read_lens(model, batch, by_position=False)
    assert every.by_position and not targets.by_position
    torch.testing.assert_close(every.kl[:, :, -1:], targets.kl)
    assert every.decided() == targets.decided()
    assert every.section().rank == targets.section().rank


def test_padding_says_nothing() -> None:
    batch = tiny_batch()
    found = read_lens(tiny_model("gpt2"), batch)
    assert found.kl[:, ~batch.attention].isnan().all() and (found.rank[:, ~batch.attention] == 0).all()
    assert len(found.frame()) == len(found.rows) * int(batch.attention.sum())
    assert found.labels(2) == [str(int(token)) for token in batch.clean[2, -6:]]


def test_it_says_from_where_on_the_answer_stays_the_most_probable() -> None:
    found = read_lens(tiny_model("gpt2"), tiny_batch())
    rank = torch.full_like(found.rank, 2)
    rank[1:, 0, -1], rank[:, 1, -1], rank[3, 2, -1] = 1, 1, 1
    rank[0, 3, -1] = 1
    assert replace(found, rank=rank).decided() == ("resid_pre 1", "resid_pre 0", "resid_post 2", None)


def test_of_a_text_without_answers_it_follows_what_the_model_says() -> None:
    model, tokenizer = tiny_model("gpt2"), NumberTokenizer()
    batch = text_batch(["3 4 5 6", "7 8"], tokenizer, bos=False)
    found = read_lens(model, batch)
    own = run(model, batch, batch.clean).logits
    assert found.answers[:, 0].equal(own.argmax(-1)) and (found.rank[-1, :, -1] == 1).all()
    section = found.section(1)
    assert section.columns == ["7", "8"] and [len(row) for row in section.top] == [2, 2, 2, 2]
    assert section.kl[-1] == [0, 0] and section.rank[-1][-1] == 1


def test_what_can_t_be_read_is_said() -> None:
    batch = tiny_batch()
    with pytest.raises(ModelError, match="no resid_mid"):
        read_lens(tiny_model("gptj"), batch, mid=True)
    with pytest.raises(TaskError, match="from 1 to the vocabulary's 50 tokens, not 51"):
        read_lens(tiny_model("gpt2"), batch, top=51)
    for texts, message in (([], "no text is given"), (["3", ""], "the text is empty")):
        with pytest.raises(TaskError, match=message):
            text_batch(texts, NumberTokenizer(), bos=False)
