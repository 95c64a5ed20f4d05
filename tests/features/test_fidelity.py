"""A perfect dictionary recovers the model, an empty one is zero ablation, and the measures are their formulas."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from acdc.errors import ModelError
from acdc.features import fidelity
from acdc.features.activations import ReLU
from acdc.features.dictionary import Dictionary
from acdc.features.fidelity import measure_fidelity
from acdc.features.reconstruction import reconstruction
from acdc.features.site_values import site_values
from acdc.features.sites import Site
from acdc.progress.progress import Progress
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_batch, tiny_model

SITE = Site(1, "resid_post")


def of_both_signs(d: int, factor: float) -> Dictionary:
    """Features `relu(x)` and `relu(-x)`, which reconstruct `factor` times x."""
    both = torch.cat([torch.eye(d, dtype=torch.float64), -torch.eye(d, dtype=torch.float64)])
    none = torch.zeros(2 * d, dtype=torch.float64), torch.zeros(1, d, dtype=torch.float64)
    return Dictionary("both", SITE, (SITE,), both, none[0], factor * both[:, None], none[1], ReLU())


def test_the_perfect_one_recovers_all_and_the_empty_one_nothing() -> None:
    model, texts = tiny_model("gpt2"), tiny_batch()
    d = model.graph.d_model
    whole, empty, half = measure_fidelity(model, [of_both_signs(d, factor) for factor in (1, 0, 0.5)], texts)
    assert whole.fvu < 1e-20 and whole.cosine == pytest.approx(1) and whole.norm == pytest.approx(1)
    assert whole.ce_dictionary == pytest.approx(whole.ce_model) and empty.ce_dictionary == pytest.approx(empty.ce_zero)
    (single,) = measure_fidelity(model, [of_both_signs(d, 0.5).to(torch.float32)], texts)
    assert single.fvu == pytest.approx(half.fvu) and single.ce_dictionary == pytest.approx(half.ce_dictionary)
    assert half.norm == pytest.approx(0.5) and whole.l0 == d and 0 < half.alive <= 1
    (y,) = site_values(model, texts, (SITE,))
    assert half.fvu == pytest.approx(((y / 2).square().sum() / (y - y.mean(0)).square().sum()).item())
    assert whole.ce_model != whole.ce_zero and whole.n_tokens == len(y) == whole.n_predicted + texts.n


def test_dictionaries_of_several_sites_are_measured_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts, d = tiny_model("gpt2"), tiny_batch(), tiny_model("gpt2").graph.d_model
    many = [of_both_signs(d, 0.5), tiny_dictionary(d=d, site=Site(0, "mlp_out")), tiny_dictionary(d=d)]
    alone = [measure_fidelity(model, [each], texts)[0] for each in many]
    told: list[Progress] = []
    for held in (0, 2**30):  # a run of the model for each, and one for all
        monkeypatch.setattr(fidelity, "HELD", held)
        together = measure_fidelity(model, many, texts, progress=told.append)
        assert [each.as_dict() for each in together] == [each.as_dict() for each in alone]
        assert told[-1].done == told[-1].total and [each.done for each in told] == sorted(each.done for each in told)
        told.clear()


def test_a_dictionary_that_writes_several_sites_is_refused() -> None:
    model, d = tiny_model("gpt2"), tiny_model("gpt2").graph.d_model
    one = tiny_dictionary(d=d, site=Site(0, "mlp_in"))
    writes = (Site(0, "mlp_out"), Site(1, "mlp_out"))
    across = replace(one, writes=writes, decoder=one.decoder[:].repeat(1, 2, 1), b_dec=one.b_dec.repeat(2, 1))
    with pytest.raises(ModelError, match="can't be measured: it writes 2 sites, not one"):
        measure_fidelity(model, [across], tiny_batch())


def test_tokens_of_huge_norm_do_not_hide_how_the_others_fare() -> None:
    y = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y[:3] *= 1000  # what is nearly all variance is reconstructed; of the others, half of it isn't
    small = y[3:].square().sum(1).max()
    whole = of_both_signs(6, 0.5)

    class WhollyIfLong(ReLU):
        def __call__(self, pre: Tensor) -> Tensor:
            found = super().__call__(pre)
            return torch.where(found.square().sum(-1, keepdim=True) > 2 * small, 2 * found, found)

    found = reconstruction(replace(whole, activation=WhollyIfLong()), y, y)
    alone = reconstruction(whole, y[3:], y[3:])
    assert found["n_outliers"] == 3 and alone["n_outliers"] == 0
    assert found["fvu"] < 1e-4 and found["fvu_usual"] == alone["fvu"] == alone["fvu_usual"] > 0.2
