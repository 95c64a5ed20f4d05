"""A stopped training goes on to the same weights, an epoch has every token once, and bad input is refused."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from acdc.errors import ModelError, RunError, TaskError
from acdc.features.fidelity import measure_fidelity
from acdc.features.site_values import behind_first, site_values
from acdc.features.sites import Site
from acdc.features.training import Recipe, train_dictionaries
from acdc.features.training import course as course_module
from acdc.features.training.stream import Stream
from acdc.interpret.lenses.windows import random_windows
from acdc.progress.progress import Progress
from tests.tiny import tiny_batch, tiny_model

READS, WRITES = Site(1, "mlp_in"), Site(1, "mlp_out")
RECIPES = (Recipe("topk", width=24, k=3), Recipe("jumprelu", width=24, k=3), Recipe("batchtopk", width=16, k=2))


class Kept(dict[str, Tensor]):
    """A state in memory, which stops the training when it was written so often."""

    def __init__(self, stop: int = 10**9) -> None:
        super().__init__()
        self.left = stop

    def read(self) -> dict[str, Tensor] | None:
        return dict(self) or None

    def write(self, state: Mapping[str, Tensor]) -> None:
        self.clear()
        self.update({name: value.clone() for name, value in state.items()})
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("buffer", [60, 10**6])  # several fills an epoch; the whole text at once
def test_a_stopped_training_goes_on_to_the_same_weights_bit_for_bit(
    buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course_module, "EVERY", -1.0)
    monkeypatch.setattr(course_module, "TIMES", 0)
    model, texts = tiny_model("gpt2"), random_windows(tiny_model("gpt2"), 30, length=8)
    options: dict = {"reads": READS, "writes": WRITES, "steps": 25, "batch": 15, "buffer": buffer, "seed": 3}
    whole = train_dictionaries(model, texts, RECIPES, **options)
    kept = Kept(stop=11)
    with pytest.raises(KeyboardInterrupt):
        train_dictionaries(model, texts, RECIPES, keep=kept, **options)
    assert int(kept["step"]) == 11
    again = train_dictionaries(model, texts, RECIPES, keep=kept, **options)
    assert int(kept["step"]) == 25  # what is measured behind it may be stopped too
    for one, other in zip(whole, again, strict=True):
        for name in ("encoder", "b_enc", "decoder", "b_dec"):
            assert torch.equal(getattr(one.dictionary, name), getattr(other.dictionary, name)), name
        assert torch.equal(one.history, other.history)
    assert list(whole[0].frame()) == ["step", "loss", "l0", "explained_variance", "dead"]
    assert torch.equal(whole[1].dictionary.activation.threshold, again[1].dictionary.activation.threshold)


def test_dictionaries_of_several_sites_are_those_of_each_alone() -> None:
    model, texts = tiny_model("gpt2"), random_windows(tiny_model("gpt2"), 30, length=8)
    options: dict = {"steps": 6, "batch": 15, "seed": 3}
    reads, writes = [Site(layer, "mlp_in") for layer in (2, 0)], [Site(layer, "mlp_out") for layer in (2, 0)]
    told: list[Progress] = []
    found = train_dictionaries(model, texts, RECIPES[:2], reads=reads, writes=writes, progress=told.append, **options)
    assert [(each.dictionary.reads.layer, each.recipe.variant) for each in found] == [
        (2, "topk"), (2, "jumprelu"), (0, "topk"), (0, "jumprelu"),
    ]  # fmt: skip
    assert "mean of 4 dictionaries: loss" in told[-1].now
    for i, (site, out) in enumerate(zip(reads, writes, strict=True)):
        alone = train_dictionaries(model, texts, RECIPES[:2], reads=site, writes=out, **options)
        for one, other in zip(found[2 * i :], alone, strict=False):
            assert torch.equal(one.dictionary.encoder, other.dictionary.encoder)
            assert torch.equal(one.history, other.history) and one.dictionary.writes == other.dictionary.writes == (
                out,
            )


def test_an_epoch_has_every_token_but_the_first_ones_once() -> None:
    model, texts = tiny_model("gpt2"), tiny_batch(n=4)
    (right,) = site_values(model, texts, (READS,))
    assert len(right) == int(behind_first(texts).sum()) == int((texts.lengths - 1).sum())
    for buffer in (8, 1000):
        stream = Stream(model, texts, (READS,), batch=1, buffer=buffer, seed=0)
        batches = stream.batches()
        seen = torch.cat([next(batches)[READS] for _ in range(len(right))])
        assert not torch.equal(seen, right)
        torch.testing.assert_close(seen[seen[:, 0].argsort()], right[right[:, 0].argsort()])
        assert stream.size <= 8 * len(right) * right.shape[1] and (buffer == 8 or stream.n_fills == 1)
        later = stream.batches(5)
        assert torch.equal(next(later)[READS], seen[5:6])


def test_training_lowers_the_error_and_says_how_far_it_is() -> None:
    model = tiny_model("llama-gqa")
    windows = random_windows(model, 80, length=12)
    told: list[Progress] = []
    (found,) = train_dictionaries(
        model, windows, [Recipe(width=64, k=8, rate=0.01)], reads=READS, steps=150, batch=128, progress=told.append
    )
    frame = found.frame()
    assert frame["loss"].iloc[-10:].mean() < 0.6 * frame["loss"].iloc[:3].mean()
    assert (frame["l0"] <= 8).all() and found.dictionary.is_sae
    assert told[-1].done == told[-1].total == 150 and "explained variance" in told[-1].now
    assert sum("takes about" in each.note for each in told) == 1
    assert told[0].note.startswith("1 dictionary, about") and "MB of weights in memory" in told[0].note
    assert told[1].stage == "activations"
    (fidelity,) = measure_fidelity(model, [found.dictionary], windows.select(range(10)))
    assert fidelity.fvu < 1 and fidelity.l0 <= 8 and 0 < fidelity.alive <= 1


def test_what_can_not_be_trained_is_refused_before_the_model_runs() -> None:
    model, texts = tiny_model("gpt2"), tiny_batch()
    options: dict = {"steps": 2, "batch": 4}
    with pytest.raises(ModelError, match=r"no site mlp_in\.7: it has 3 layers, 0 to 2"):
        train_dictionaries(model, texts, RECIPES, reads=Site(7, "mlp_in"), **options)
    with pytest.raises(ModelError, match=r"can't read mlp_out\.1 and write mlp_in\.1, which the model computes before"):
        train_dictionaries(model, texts, RECIPES, reads=WRITES, writes=READS, **options)
    with pytest.raises(RunError, match="an SAE with a skip connection would copy what it reads"):
        train_dictionaries(model, texts, [Recipe(width=8, k=2, skip=True)], reads=READS, **options)
    with pytest.raises(TaskError, match=r"27 tokens to train on, fewer than a batch of 1024"):
        train_dictionaries(model, texts, RECIPES, reads=READS, steps=2)
    with pytest.raises(RunError, match="as many sites that are read as written, not 2 and 1"):
        train_dictionaries(model, texts, RECIPES, reads=[READS, WRITES], writes=WRITES, **options)
    with pytest.raises(RunError, match=r"each site can be read by one dictionary of a kind: mlp_in\.1, mlp_in\.1"):
        train_dictionaries(model, texts, RECIPES, reads=[READS, READS], **options)
    with pytest.raises(RunError, match="must be at least 1, not 0"):
        train_dictionaries(model, texts, RECIPES, reads=READS, steps=0)
