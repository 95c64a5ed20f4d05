"""A pushed feature changes what it should, and clamped at its own value nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acdc.errors import ModelError, RunError, TaskError
from acdc.features.acting import Push, continued, doses, pushed
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, through_sites
from acdc.patching.problem import Problem
from acdc.prompts.texts import text_batch
from tests.features.reading.planted import DEAD, ON, planted
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_batch, tiny_model


def transcoder() -> Dictionary:
    """What reads before the first MLP, and writes at both MLPs."""
    plain = tiny_dictionary(site=Site(0, "mlp_in"))
    writes = (Site(0, "mlp_out"), Site(1, "mlp_out"))
    decoder = torch.randn(12, 2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return replace(plain, writes=writes, decoder=decoder, b_dec=torch.zeros(2, 16).double())


@pytest.mark.parametrize("made", [tiny_dictionary, transcoder])
def test_a_feature_clamped_at_its_own_value_or_pushed_by_nothing_changes_nothing(made: type) -> None:
    model, batch, dictionary = tiny_model("gpt2"), tiny_batch(), made()
    plain = pushed(model, dictionary, batch, None)
    with torch.no_grad():
        x = through_sites(model, batch, batch.clean, lambda _, x: x, stop=dictionary.reads)
    own = dictionary.encode(x)[..., 3]
    assert bool((own > 0).any())
    assert torch.equal(pushed(model, dictionary, batch, Push(3, "clamp", own)), plain)
    assert torch.equal(pushed(model, dictionary, batch, Push(3, "add", 0.0)), plain)


def test_a_push_is_the_change_of_what_is_written() -> None:
    model, batch, dictionary = tiny_model("gpt2"), tiny_batch(), transcoder()
    kinds = {"add": lambda f: 2.0 + 0 * f, "clamp": lambda f: 2.0 - f}
    for kind, change in kinds.items():
        held: dict[Site, torch.Tensor] = {}

        def visit(site: Site, x: torch.Tensor, held: dict = held, change: object = change) -> torch.Tensor:
            if site == dictionary.reads:
                held[site] = change(dictionary.encode(x)[..., 3])  # type: ignore[operator]
            if site in dictionary.writes:
                x = x + held[dictionary.reads][..., None] * dictionary.decoder[:][3, dictionary.writes.index(site)]
            return x

        with torch.no_grad():
            right = through_sites(model, batch, batch.clean, visit)
        torch.testing.assert_close(pushed(model, dictionary, batch, Push(3, kind, 2.0)), right)


def test_several_pushes_add_up_to_their_changes_of_what_the_model_has() -> None:
    model, batch, dictionary = tiny_model("gpt2"), tiny_batch(), tiny_dictionary()

    def visit(site: Site, x: torch.Tensor) -> torch.Tensor:
        if site != dictionary.reads:
            return x
        return x + 2.0 * dictionary.decoder[:][5, 0] - dictionary.encode(x)[..., [3]] * dictionary.decoder[:][3, 0]

    with torch.no_grad():
        right = through_sites(model, batch, batch.clean, visit)
    torch.testing.assert_close(pushed(model, dictionary, batch, [Push.ablate(3), Push(5, "add", 2.0)]), right)


def test_doses_are_beside_no_dose_and_neutral_text_tells_what_else_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, dictionary, corpus, _, _ = planted()
    problem, neutral = Problem.make(model, corpus.select(range(6))), corpus.select(range(6, 10))
    monkeypatch.setattr(doses, "neutral_batch", lambda tokenizer, bos: neutral)
    found = doses.dose_effects(problem, dictionary, DEAD, [0.0, 1.0])
    none, zero, one = found.rows
    assert none.dose is None and none.metric == zero.metric != one.metric
    assert none.neutral_kl == zero.neutral_kl == pytest.approx(0, abs=1e-9)
    assert zero.changes == (0,) * 6 and zero.change.value == 0 and zero.moved == ()
    assert (
        one.change.value == pytest.approx(one.metric.value - none.metric.value) == pytest.approx(np.mean(one.changes))
    )
    with torch.no_grad():
        run = [
            model.unembed(pushed(model, dictionary, problem.batch, each)[:, -1]).softmax(-1)
            for each in (None, Push(DEAD, "clamp", 1.0))
        ]
    rise, named = (run[1] - run[0]).mean(0), dict(one.moved)
    assert max(map(abs, named.values())) == pytest.approx(float(rise.abs().max()))
    assert one.neutral_kl is not None and one.neutral_kl > 1e-3
    assert found.frame()["dose"].tolist() == ["none", "0", "1"] and (found.n_prompts, found.n_neutral) == (6, 4)


def test_text_goes_on() -> None:
    """The compiled model continues repetitions; clamped far off, the feature's token is no longer known."""
    model, dictionary, _, token, reading = planted()
    name = reading.names[token]
    prompt = f" q{name} k b q"
    plain = continued(model, dictionary, prompt, None, n_tokens=3)
    assert plain.text == f"{name} k b"
    assert continued(model, dictionary, prompt, Push(ON, "add", 0.0), n_tokens=3) == plain
    other = continued(model, dictionary, prompt, Push(ON, "clamp", 50.0), n_tokens=3)
    assert other.text != plain.text and plain.surprise is not None and other.surprise > plain.surprise
    ids = text_batch([prompt + plain.text], model.tokenizer).clean[0]
    with torch.no_grad():
        runs = [text_batch([prompt + plain.text[:n]], model.tokenizer) for n in (0, len(name), len(name) + 2)]
        log_p = [model.unembed(pushed(model, dictionary, run, None)[:, -1]).log_softmax(-1)[0] for run in runs]
    assert plain.surprise == pytest.approx(-float(sum(p[i] for p, i in zip(log_p, ids[-3:], strict=True))) / 3)
    with pytest.raises(RunError, match="at least 1 token"):
        continued(model, dictionary, prompt, None, n_tokens=0)
    with pytest.raises(TaskError, match="the text is empty"):
        continued(model, dictionary, "", None)


def test_mistakes_are_told() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    with pytest.raises(RunError, match="feature 12 is out of range: 'tiny' has 12 features, 0 to 11"):
        pushed(model, tiny_dictionary(), batch, Push.ablate(12))
    with pytest.raises(RunError, match="by 'add' or 'clamp', not 'times'"):
        pushed(model, tiny_dictionary(), batch, Push(0, "times", 2.0))
    with pytest.raises(ModelError, match="reads 24 dimensions"):
        pushed(model, tiny_dictionary(d=24), batch, None)
