"""Sites are where the unpatched run says they are, and a dictionary encodes and decodes by its formulas."""

import pytest
import torch
from torch import Tensor

from acdc.errors import ModelError, UnknownNameError
from acdc.features.activations import Gated, GroupMax, JumpReLU, ReLU, TopK
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, sites_of, through_sites, width_of
from acdc.patching.activations import run
from tests.tiny import tiny_batch, tiny_model

SITE = Site(1, "resid_post")


def tiny_dictionary(n: int = 12, d: int = 16, *, site: Site = SITE, seed: int = 0) -> Dictionary:
    """An SAE with random weights, in float64."""
    draw = torch.Generator().manual_seed(seed)
    encoder, decoder, b_enc, b_dec = (
        torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((n, d), (n, 1, d), (n,), (1, d))
    )
    return Dictionary("tiny", site, (site,), encoder, b_enc, decoder, b_dec, ReLU())


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "neox-parallel"])
def test_a_run_through_its_sites_is_the_run(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    seen: dict[Site, Tensor] = {}

    def visit(site: Site, x: Tensor) -> Tensor:
        seen[site] = x
        assert x.shape[-1] == width_of(model, site)
        return x

    final = through_sites(model, batch, batch.clean, visit)
    right = run(model, batch, batch.clean)
    assert tuple(seen) == sites_of(model)
    torch.testing.assert_close(model.unembed(final[:, -1]), right.logits, atol=1e-10, rtol=0)
    for layer in range(model.graph.n_layers):
        torch.testing.assert_close(seen[Site(layer, "resid_pre")], right.resid_pre[layer])
        torch.testing.assert_close(seen[Site(layer, "mlp_out")], right.outputs.mlp[layer])
        torch.testing.assert_close(
            seen[Site(layer, "resid_post")],
            seen[Site(layer, "resid_pre")] + seen[Site(layer, "attn_out")] + seen[Site(layer, "mlp_out")],
        )


@pytest.mark.parametrize("kind", ["resid_pre", "z", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post"])
def test_a_run_ends_at_the_last_site_that_is_wanted_and_what_is_put_there_goes_on(kind: str) -> None:
    model, batch = tiny_model("llama-gqa"), tiny_batch()
    at = Site(1, kind)
    visited: list[Site] = []

    def doubled(site: Site, x: Tensor) -> Tensor:
        visited.append(site)
        return 2 * x if site == at else x

    plain = through_sites(model, batch, batch.clean, lambda site, x: x, stop=at)
    torch.testing.assert_close(through_sites(model, batch, batch.clean, doubled, stop=at), 2 * plain)
    assert visited[-1] == at
    changed = through_sites(model, batch, batch.clean, doubled)
    assert not torch.allclose(changed, through_sites(model, batch, batch.clean, lambda site, x: x))


def test_sites_are_read_by_name_or_refused() -> None:
    model = tiny_model("neox-parallel")
    assert Site.parse("attn_out.1") == Site(1, "attn_out")
    with pytest.raises(UnknownNameError, match="did you mean 'resid_post'"):
        Site.parse("resid_pots.1")
    with pytest.raises(ModelError, match=r"must end in its layer, like mlp_out\.0"):
        Site.parse("mlp_out")
    with pytest.raises(ModelError, match=r"no site mlp_out\.9: it has 2 layers, 0 to 1"):
        width_of(model, Site(9, "mlp_out"))
    with pytest.raises(ModelError, match=r"no site resid_mid\.0: its blocks are parallel"):
        width_of(model, Site(0, "resid_mid"))


def test_activations_are_what_they_are_called() -> None:
    pre = torch.tensor([[-1.0, 0.5, 2.0, 3.0], [0.1, -0.2, -0.3, -0.4]])
    assert TopK(2)(pre).tolist() == [[0, 0, 2, 3], [pytest.approx(0.1), 0, 0, 0]]
    assert GroupMax(2)(pre).tolist() == [[0, 0.5, 0, 3], [pytest.approx(0.1), 0, 0, 0]]
    assert torch.equal(JumpReLU(torch.tensor(0.0))(pre), ReLU()(pre))
    assert JumpReLU(torch.tensor([0.0, 1.0, 1.0, 4.0]))(pre)[0].tolist() == [0, 0, 2, 0]
    gated = Gated(torch.full((4,), 0.5), torch.zeros(4), torch.ones(4))
    assert gated(pre)[0].tolist() == [0, 1.0, 2.5, 3.5]


def test_a_dictionary_encodes_and_decodes_by_its_formulas() -> None:
    x = torch.randn(3, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = tiny_dictionary()
    features = plain.encode(x)
    torch.testing.assert_close(features, torch.relu(x @ plain.encoder.T + plain.b_enc))
    torch.testing.assert_close(plain.decode(features), features @ plain.decoder[:][:, 0] + plain.b_dec[0])
    torch.testing.assert_close(plain.directions(torch.tensor([3, 1])), plain.decoder[:][[3, 1], 0])
    with pytest.raises(ModelError, match=r"writes resid_post\.1, not mlp_out\.0"):
        plain.decode(features, site=Site(0, "mlp_out"))


def test_a_dictionary_of_another_model_is_refused_with_both_widths() -> None:
    model = tiny_model("gpt2")
    tiny_dictionary(d=model.graph.d_model).check_fits(model)
    with pytest.raises(
        ModelError, match=rf"reads 24 dimensions at resid_post\.1, but 'gpt2' has {model.graph.d_model}"
    ):
        tiny_dictionary(d=24).check_fits(model)
