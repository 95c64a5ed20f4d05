"""One prompt debugged: every number is that of an independent computation, and the sentences say them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc import debug
from acdc.cli import main
from acdc.errors import TaskError
from acdc.interpret.debug import Diagnosis, Question, diagnose
from acdc.models import PatchableModel
from acdc.patching.ablation import everywhere
from acdc.patching.ablations.mean_all import mean_constants
from acdc.patching.activations import run
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.prompts.tokens import single_token
from tests.oracle import naive_logits
from tests.tiny import kept_double, tiny_model

FRANCE, SPAIN = "The capital of France is", "The capital of Spain is"


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return PatchableModel.from_pretrained("acdc-tasks", dtype="float64")


def neutral(tokenizer: Any) -> PromptBatch:
    """Text that this tokenizer of few words can spell."""
    return text_batch(["The capital of Italy is", "The keys near the cabinet"], tokenizer)


@pytest.fixture(scope="module", params=["twin", "neutral", "zero"])
def found(model: PatchableModel, request: pytest.FixtureRequest) -> tuple[Diagnosis, Question]:
    corrupt = SPAIN if request.param == "twin" else None
    question = Question.make(model, FRANCE, " Paris", " Rome", corrupt=corrupt)
    text = neutral if request.param == "neutral" else lambda tokenizer: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acdc.interpret.debug.looking.neutral_batch", text)
        return diagnose(model, question), question


def test_what_is_said_is_hugging_face_s_own_distribution(
    model: PatchableModel, found: tuple[Diagnosis, Question]
) -> None:
    diagnosis, question = found
    logits = model.hf(question.batch.clean).logits[0, -1].detach()
    p, paris, rome = logits.softmax(-1), *(single_token(model.tokenizer, word) for word in (" Paris", " Rome"))
    assert diagnosis.p_answer == pytest.approx(float(p[paris]), rel=1e-9)
    assert diagnosis.p_wrong == pytest.approx(float(p[rome]), rel=1e-9)
    assert diagnosis.logit_diff == pytest.approx(float(logits[paris] - logits[rome]), rel=1e-9)
    assert diagnosis.entropy == pytest.approx(float(-(p * p.log()).sum()), rel=1e-9)
    assert diagnosis.rank_wrong == int((logits > logits[rome]).sum()) + 1
    assert diagnosis.top[0].token == " Paris" and diagnosis.top[0].p == pytest.approx(float(p.max()), rel=1e-9)
    last = diagnosis.streams[-1]
    assert (last.top.token, last.rank) == (" Paris", diagnosis.rank_answer)
    assert (last.p_answer, last.p_wrong) == pytest.approx((diagnosis.p_answer, diagnosis.p_wrong), rel=1e-9)


def test_effects_are_those_of_the_naive_oracle(model: PatchableModel, found: tuple[Diagnosis, Question]) -> None:
    diagnosis, question = found
    batch = question.batch
    if question.has_twin:
        ablated = run(model, batch, batch.corrupt).outputs
    elif not diagnosis.ablation.startswith("zero"):
        ablated = everywhere(mean_constants(model, neutral(model.tokenizer)), batch).outputs
    else:
        ablated = Problem.make(model, batch, ablation="zero").ablated.outputs
    paris, rome = int(batch.correct), int(batch.wrong)
    for node in diagnosis.nodes:
        mask = model.graph.edges_mask.clone()
        mask[model.graph.src_index[node.node]] = False
        logits = naive_logits(model, batch, ablated, mask)[0]
        diff = float(logits[paris] - logits[rome])
        assert node.logit_diff == pytest.approx(diff, rel=1e-7, abs=1e-8)
        assert node.effect == pytest.approx(diagnosis.logit_diff - diff, rel=1e-6, abs=1e-8)
        assert node.then is not None and node.then.p == pytest.approx(float(logits.softmax(-1).max()), rel=1e-7)
    effects = [abs(node.effect or 0) for node in diagnosis.nodes]
    assert effects == sorted(effects, reverse=True)


def test_looks_are_rows_of_attention_and_leads_hold_to_the_end(found: tuple[Diagnosis, Question]) -> None:
    diagnosis, _ = found
    heads = [node for node in diagnosis.nodes if node.kind == "head"]
    assert heads and all(node.looks for node in heads)
    for node in heads:
        assert sum(look.attention for look in node.looks) <= 1 + 1e-9
        assert all(diagnosis.prompt[look.position] == look.token for look in node.looks)
    leader, start = diagnosis.leads
    names = [stream.stream for stream in diagnosis.streams]
    assert leader == " Paris" and start is not None
    later = diagnosis.streams[names.index(start) :]
    assert all(stream.p_answer > stream.p_wrong for stream in later)
    before = diagnosis.streams[names.index(start) - 1]
    assert max(before.p_answer, before.p_wrong) < 0.01 or before.p_answer <= before.p_wrong


def test_patching_is_told_with_a_twin_alone(found: tuple[Diagnosis, Question]) -> None:
    diagnosis, question = found
    if not question.has_twin:
        assert diagnosis.restored == () and diagnosis.corrupt == ()
        assert ("2 neutral sentences" in diagnosis.ablation) != diagnosis.ablation.startswith("zero")
        return
    country, last = diagnosis.restored
    assert (country.token, country.first, country.most) == (" France", "0", pytest.approx(1))
    assert (last.token, last.last) == (" is", "final")
    assert diagnosis.corrupted_top[0].token == " Madrid"


def test_it_is_told_in_words_and_in_json_and_in_a_table(found: tuple[Diagnosis, Question]) -> None:
    diagnosis, question = found
    text = str(diagnosis)
    assert "It says ' Paris'" in text and "In short: it prefers ' Paris' to ' Rome'." in text
    assert f"without {diagnosis.nodes[0].node}" in text and text.count("Note: ") >= 1
    assert ("Put into the corrupted run" in text) == question.has_twin
    assert json.loads(json.dumps(diagnosis.to_dict()))["nodes"][0]["node"] == diagnosis.nodes[0].node
    assert list(diagnosis.frame()["node"]) == [node.node for node in diagnosis.nodes]
    assert "&#x27; Paris&#x27;" in diagnosis._repr_html_()


def test_answers_that_are_not_given_are_the_model_s_own(model: PatchableModel) -> None:
    question = Question.make(model, FRANCE)
    logits = model.hf(question.batch.clean).logits[0, -1]
    assert [int(question.batch.correct), int(question.batch.wrong)] == logits.topk(2).indices.tolist()
    assert any("no answer was given: it is ' Paris', the model's first choice" in note for note in question.notes)
    other = Question.make(model, FRANCE, " Rome")
    assert int(other.batch.wrong) == int(logits.argmax())


def test_ids_and_messages_are_prompts_too(model: PatchableModel) -> None:
    ids = model.tokenizer.encode(FRANCE, add_special_tokens=False)
    assert Question.make(model, ids, " Paris", " Rome").batch.clean.tolist() == [ids]
    with pytest.raises(TaskError, match="need a chat template"):
        Question.make(model, FRANCE, chat=True)
    with pytest.raises(TaskError, match="goes with chat messages only"):
        Question.make(model, FRANCE, system="Be brief.")


class Halves:
    """The tokenizer with every word in two tokens."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]
        return [*ids, 5] if text.endswith(("Paris", "Rome")) else ids


def test_of_an_answer_of_several_tokens_the_first_is_compared_and_that_is_said(model: PatchableModel) -> None:
    halves = PatchableModel(model.hf, Halves(model.tokenizer))
    question = Question.make(halves, FRANCE, " Paris", " Madrid")
    assert int(question.batch.correct) == single_token(model.tokenizer, " Paris")
    assert any("' Paris' has several tokens" in note and "the first of them" in note for note in question.notes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"answer": " Paris", "wrong": " Paris"}, "both begin with the token ' Paris'"),
        ({"answer": " Parisx"}, "the tokenizer doesn't know the answer ' Parisx'"),
        ({"answer": 10**6}, "token id 1000000 is outside the tokenizer's 0 to"),
        ({"prompt": ""}, "is empty"),
        ({"prompt": []}, "is empty"),
        ({"corrupt": "France is"}, "the two sides must have the same number of tokens"),
        ({"corrupt": FRANCE}, "identical up to the target"),
    ],
)
def test_what_can_t_be_asked_is_told(model: PatchableModel, given: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Question.make(model, **{"prompt": FRANCE, **given})


def test_a_model_of_many_nodes_is_ablated_at_those_that_write_most(
    model: PatchableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acdc.interpret.debug.looking.MOST", 4)
    question = Question.make(model, FRANCE, " Paris", " Rome", corrupt=SPAIN)
    told = list[tuple[int, int]]()
    found = diagnose(model, question, progress=lambda p: told.append((p.done, p.total)))
    assert len(found.nodes) == 4 and (4, 4) in told
    assert any("the 4 that write most directly were ablated" in note for note in found.notes)


def test_the_command_and_the_function_say_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["debug", FRANCE, "--answer", " Paris", "--wrong", " Rome", "--model", "acdc-tasks", "--corrupt", SPAIN]
    assert main([*words, "--quiet"]) == 0
    text = capsys.readouterr().out
    found = debug("acdc-tasks", FRANCE, " Paris", " Rome", corrupt=SPAIN)
    assert text.rstrip() == found.summary()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == " Paris"
    assert main(["debug", FRANCE]) == 2
    assert "name the model that answers (--model)" in capsys.readouterr().err
    assert main(["debug", FRANCE, "--model", "acdc-tasks", "--nodes", "0"]) == 2


@pytest.mark.parametrize("family", ["gpt2", "gptj", "gemma2", "llama"])
def test_it_works_in_other_families_without_neutral_text(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.interpret.debug.looking.neutral_batch", lambda tokenizer: None)
    with kept_double(family):
        tiny = tiny_model(family)
        found = diagnose(tiny, Question.make(tiny, [3, 5, 7, 9], 4, 8))
    assert found.nodes and all(node.logit_diff is not None for node in found.nodes)
    assert torch.tensor([node.effect for node in found.nodes]).isfinite().all()
