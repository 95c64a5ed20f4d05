"""Texts of our own: needles in haystacks, and sentences whose parse is true by construction."""

import networkx as nx
import pytest
import torch

from acdc.interpret.evidence import Evidence
from acdc.interpret.evidence.needles import Needle, Needles, needle_batch, retrieved
from acdc.interpret.evidence.sentences import RELATIONS, TEMPLATES, Sentences, parsed
from acdc.interpret.head_roles import head_roles
from acdc.interpret.patterns import attention_patterns
from acdc.interpret.roles import ROLES
from acdc.models import PatchableModel
from tests.tiny import tiny_model


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_sentence_is_a_tree(template: str) -> None:
    heads = [int(item.split("/")[1]) for item in template.split()]
    tree = nx.DiGraph((head, place) for place, head in enumerate(heads, 1))
    assert heads.count(0) == 1 and nx.is_arborescence(tree) and max(heads) <= len(heads)


def test_no_fixed_offset_finds_a_relation_always() -> None:
    _, arcs = parsed(0)
    for relation in RELATIONS:
        for held_out in (False, True):
            offsets = [arc.later - arc.earlier for arc in arcs if arc.relation == relation and arc.held_out == held_out]
            assert len(set(offsets)) > 1 and len(offsets) >= 30
    assert parsed(0) == parsed(0) != parsed(1)


def test_a_head_that_finds_objects_scores_above_the_best_offset_and_one_of_an_offset_scores_nothing() -> None:
    _, arcs = parsed(0)
    finds = [arc.relation == "obj" for arc in arcs]
    steps = [arc.later - arc.earlier == 1 for arc in arcs]
    sentences = Sentences(tuple(arcs), torch.tensor([[finds, steps]]))
    evidence = Evidence(tiny_model("gpt2"))
    evidence.__dict__["sentences"] = sentences
    found = ROLES["syntax"].measure(evidence)
    objects = [arc.later - arc.earlier for arc in arcs if arc.relation == "obj" and arc.held_out]
    best = max(objects.count(offset) for offset in set(objects)) / len(objects)
    assert float(found.values[0, 0]) == pytest.approx(1 - best) and found.labels[0, 0].startswith("obj 1.00")
    assert float(found.values[0, 1]) <= 0


def test_retrieval_counts_written_tokens_that_the_head_looks_at_most() -> None:
    model = tiny_model("llama-gqa")
    needle = Needle(ids=(3, 7, 11, 12, 5, 9, 4, 11, 12, 7), start=7, first=2, stop=4)
    assert needle.answer == (11, 12) and needle.recall == 1
    ids = torch.tensor([needle.ids])
    patterns = attention_patterns(model, needle_batch(ids))
    for i, head in enumerate(patterns.heads):
        expected = 0.0
        for row in (6, 7, 8):  # where 11, 12 and 7 are written
            top = int(patterns.of(0, head)[row].argmax())
            expected += 0.5 * (top in (2, 3) and needle.ids[top] == needle.ids[row + 1])
        assert float(retrieved(model, needle).flatten()[i]) == expected


def test_a_needle_s_test_takes_away_what_is_read_in_it() -> None:
    """All attention to the needle is one head's, so the same is had from a pass in which it has no value there."""
    model = tiny_model("gpt2")
    needles = tuple(Needle((3, 7, 11, 12, 5, 9, 4, a, b), 7, 2, 4) for a, b in ((11, 12), (12, 11), (11, 11)))
    evidence = Evidence(model)
    evidence.__dict__["needles"] = Needles(needles, torch.zeros(3, 2))
    test = ROLES["retrieval"].test
    assert test is not None
    changed = test(evidence, "a1.h0").measured.value
    with torch.no_grad():
        model.hf.transformer.h[1].attn.c_proj.weight[: model.graph.d_model // 2] = 0  # the head writes nothing
    assert changed not in (None, 0) and test(evidence, "a1.h0").measured.value == 0


def test_a_tokenizer_without_the_words_is_told() -> None:
    found = head_roles(PatchableModel.from_pretrained("induction-compiled"), roles=["retrieval", "syntax"])
    assert all("lacks words" in reason for reason in found.reasons.values()) and len(found.reasons) == 2
