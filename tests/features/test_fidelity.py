"""A perfect dictionary recovers the model, an empty one is zero ablation, and the measures are their formulas."""

import pytest
import torch

from acdc.errors import ModelError
from acdc.features.activations import ReLU
from acdc.features.dictionary import Dictionary
from acdc.features.fidelity import measure_fidelity
from acdc.features.site_values import site_values
from acdc.features.sites import Site
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
    assert half.norm == pytest.approx(0.5) and whole.l0 == d and 0 < half.alive <= 1
    (y,) = site_values(model, texts, (SITE,))
    assert half.fvu == pytest.approx(((y / 2).square().sum() / (y - y.mean(0)).square().sum()).item())
    assert whole.ce_model != whole.ce_zero and whole.n_tokens == len(y) == whole.n_predicted + texts.n


def test_dictionaries_of_other_sites_are_not_measured_together() -> None:
    model, d = tiny_model("gpt2"), tiny_model("gpt2").graph.d_model
    with pytest.raises(ModelError, match="must write one site, the same as those beside it"):
        measure_fidelity(model, [tiny_dictionary(d=d), tiny_dictionary(d=d, site=Site(0, "mlp_out"))], tiny_batch())
