"""Probes find what is planted and nothing in noise; a continued run is the run; what is taken out is gone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acdc.errors import RunError, TaskError
from acdc.interpret import packages
from acdc.interpret.continued import continued, resid_at
from acdc.interpret.directions import Removal, class_means
from acdc.interpret.labels import Labelled, labelled
from acdc.interpret.places import changes_of, places_of, regions_of
from acdc.interpret.probe_split import split_of
from acdc.interpret.probes import _control_accuracy, default_label, hits, probe
from acdc.interpret.residuals import residuals
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.task import load_task
from tests.configs import CONFIGS
from tests.tiny import NumberTokenizer, kept_double, tiny_batch, tiny_model


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_a_run_that_is_continued_unchanged_is_the_run(family: str) -> None:
    with kept_double(family):
        model, batch = tiny_model(family), tiny_batch()
        done = run(model, batch, batch.clean)
        for layer in range(model.graph.n_layers + 1):
            for start in (0, 3, batch.n_pos - 1):
                rest = continued(model, batch, done, resid_at(done, layer)[:, start:], layer=layer)
                torch.testing.assert_close(model.unembed(rest[:, -1]), done.logits, rtol=1e-9, atol=1e-9)


def test_another_prompt_s_residual_stream_gives_that_prompt_s_logits() -> None:
    model, batch = tiny_model("llama"), tiny_batch()
    clean, corrupt = (run(model, batch, ids) for ids in (batch.clean, batch.corrupt))
    for layer in range(model.graph.n_layers + 1):
        rest = continued(model, batch, clean, resid_at(corrupt, layer), layer=layer)
        torch.testing.assert_close(model.unembed(rest[:, -1]), corrupt.logits, rtol=1e-9, atol=1e-9)


def test_an_edit_sees_the_stream_wherever_it_is_read() -> None:
    model, batch, seen = tiny_model("gpt2"), tiny_batch(), []
    done = run(model, batch, batch.clean)

    def edit(layer: int, x: torch.Tensor) -> torch.Tensor:
        expected = done.resid_mid[layer] if seen.count(layer) else resid_at(done, layer)
        torch.testing.assert_close(x, expected)
        seen.append(layer)
        return x

    continued(model, batch, done, done.resid_pre[0], edit=edit)
    n = model.graph.n_layers
    assert seen == [layer for layer in range(n) for _ in range(2)] + [n]


def test_residuals_are_the_run_s_whatever_is_taken_together() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch(n=40)
    places = places_of(batch)
    found = residuals(model, batch, ("clean", "corrupt"), places, [0, model.graph.n_layers])
    done = run(model, batch, batch.corrupt)
    for i, name in enumerate(places):
        for row in (0, 33):
            expected = done.final[row, places[name][row]]
            torch.testing.assert_close(found[1, i, batch.n + row], expected, rtol=1e-9, atol=1e-9)


def _labelled(names: list[str], words: list[int]) -> Labelled:
    return Labelled("planted", ("clean",), tuple(names), tuple(words))


def _drawn(n: int, seed: int, *, planted: bool) -> tuple[torch.Tensor, list[str]]:
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(n, 16)), rng.integers(0, 3, n)
    if planted:
        x[np.arange(n), labels] += 8
    return torch.from_numpy(x), [f"class {i}" for i in labels]


@pytest.mark.parametrize("planted", [True, False])
def test_planted_labels_are_found_and_those_of_noise_are_not(planted: bool) -> None:
    (x, known), (y, asked) = (_drawn(n, seed, planted=planted) for n, seed in ((300, 0), (600, 1)))
    split = split_of(_labelled(known, [0] * 300), _labelled(asked, [0] * 600), seed=0)
    accuracy = hits(x[split.fitted], split.train[split.fitted], y, split.test).mean()
    assert accuracy > 0.99 if planted else abs(accuracy - 1 / 3) < 0.07


def test_a_control_can_be_learned_by_heart_only_where_words_are_encoded() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 8, 400)
    names = [f"class {i % 2}" for i in words]
    split = split_of(_labelled(names, words.tolist()), _labelled(names, words.tolist()), seed=0)
    encoded = torch.from_numpy(np.eye(8)[words] + 0.01 * rng.normal(size=(400, 8)))
    noise = torch.from_numpy(rng.normal(size=(400, 8)))
    assert _control_accuracy(encoded, split) == 1.0
    assert split.control is not None
    commonest = np.bincount(split.control.labels).max() / 400
    assert _control_accuracy(noise, split) < commonest + 0.1 < 1


def test_without_words_that_come_back_there_is_no_control() -> None:
    names = ["a", "b"] * 40
    split = split_of(_labelled(names, list(range(80))), _labelled(names, list(range(80))), seed=0)
    assert split.control is None
    assert np.isnan(_control_accuracy(torch.zeros(80, 3), split))


def test_what_is_taken_out_no_longer_tells_the_means_apart_and_all_else_stays() -> None:
    x, _ = _drawn(300, 0, planted=True)
    classes = np.arange(300) % 3
    means = class_means(x, classes)
    left = class_means(means.without(x), classes)
    assert means.basis.shape == (2, 16)
    torch.testing.assert_close(left.means, left.centre.expand_as(left.means))
    other = torch.from_numpy(np.random.default_rng(1).normal(size=16))
    other -= other @ means.basis.T @ means.basis
    torch.testing.assert_close(means.without(x) @ other, x @ other)


def test_a_model_s_number_is_encoded_in_the_noun_and_used_there() -> None:
    """The verb's number: from the noun's embedding on, at the end only late."""
    model, task = PatchableModel.from_pretrained("acdc-tasks"), load_task("agreement")
    train, test = task.batch(model.tokenizer, 120, 0), task.batch(model.tokenizer, 60, 0, held_out=True)
    found = probe(train, Problem.make(model, test, metric="logit_diff"), places=changes_of)
    accuracy, causal = found.grid("accuracy"), found.grid("causal")
    noun, end = (found.columns.index(name) for name in ("last change", "end"))
    assert found.label == "answer" and found.majority == 0.5
    assert accuracy[0, noun] > 0.9 and accuracy[0, end] < 0.65 and accuracy[-1, end] > 0.9
    assert causal[0, noun] > 0.2 and abs(causal[0, end]) < 0.05 and causal[-1, end] > 0.2
    assert len(found.frame()) == accuracy.size


def test_labels_say_which_name_comes_first_and_which_side_it_is() -> None:
    model, task = PatchableModel.from_pretrained("acdc-small"), load_task("ioi")
    train, test = task.batch(model.tokenizer, 8, 0), task.batch(model.tokenizer, 8, 0, held_out=True)
    assert labelled(train, "order", model.tokenizer).names == ("right first", "wrong first") * 4  # ABBA, BABA
    assert labelled(train, "side", model.tokenizer).names == ("clean",) * 8 + ("corrupted",) * 8
    assert default_label(train, test, model.tokenizer) == "order"


def test_a_label_that_prompts_lack_is_told() -> None:
    model, task = PatchableModel.from_pretrained("acdc-small"), load_task("ioi")
    train, test = task.batch(model.tokenizer, 8, 0), task.batch(model.tokenizer, 8, 0, held_out=True)
    problem = Problem.make(model, test)
    with pytest.raises(TaskError, match=r"0 of its .* values"):  # the names are held out
        probe(train, problem, label="answer")
    with pytest.raises(TaskError, match="doesn't name both"):
        labelled(replace(train, wrong=train.wrong[:, :0]), "order", model.tokenizer)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    model, task = PatchableModel.from_pretrained("acdc-small"), load_task("ioi")
    with pytest.raises(RunError, match=r"acdc-engine\[probes\]"):
        probe(task.batch(model.tokenizer, 4, 0), Problem.make(model, task.batch(model.tokenizer, 4, 1)))


def test_a_share_of_no_difference_is_not_given() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch(n=4)
    problem = Problem.make(model, batch, metric="logit_diff")  # a random model: four prompts differ either way
    removal = Removal.make(problem)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, model.graph.d_model)))
    share = removal.share(0, places_of(batch)["end"], class_means(x, np.array([0, 1, 0, 1])))
    assert (share is None) == (removal.no_meaning is not None)


def test_places_and_regions_are_the_spans_that_a_task_names() -> None:
    pairs = [
        PromptPair([1, 2, 3, 4, 5], [1, 9, 3, 4, 5], [6], spans={"noun": (1, 3)}),
        PromptPair([1, 2, 8, 3, 4, 5], [1, 2, 9, 3, 4, 5], [6], spans={"noun": (2, 4)}),
    ]
    batch = PromptBatch.from_pairs(pairs, NumberTokenizer())
    places, regions = places_of(batch), regions_of(batch)
    assert {name: at.tolist() for name, at in places.items()} == {"noun": [3, 3], "end": [5, 5]}
    noun = regions.names.index("noun")
    assert (regions.ids == noun).sum(1).tolist() == [2, 2] and int(regions.ids[0, 0]) == -1
    changes = changes_of(batch)
    assert {name: at.tolist() for name, at in changes.items()} == {"last change": [2, 2], "end": [5, 5]}
