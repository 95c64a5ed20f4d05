"""Saved in one format and read as another, a dictionary has the same features and writes the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acdc.features import FORMATS, Dictionary, Site, load, save
from acdc.features.activations import Activation, Gated, JumpReLU, ReLU, TopK
from acdc.features.formats.folding import taking_off_b_dec
from tests.features.test_dictionary import tiny_dictionary

X = torch.randn(40, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
N = torch.linspace(0.1, 0.9, 12, dtype=torch.float64)
SAES: dict[str, tuple[Activation, tuple[str, ...]]] = {
    "relu": (ReLU(), ("saelens", "dictionary_learning")),
    "topk": (TopK(4), ("saelens", "dictionary_learning", "sparsify")),
    "jumprelu": (JumpReLU(N), ("saelens", "dictionary_learning")),
    "one threshold": (JumpReLU(torch.tensor(0.4, dtype=torch.float64)), ("saelens", "dictionary_learning")),
}


def assert_same(one: Dictionary, other: Dictionary) -> None:
    torch.testing.assert_close(one.encode(X), other.encode(X), atol=1e-6, rtol=0)
    features = one.encode(X)
    torch.testing.assert_close(one.decode(features, X), other.decode(features, X), atol=1e-6, rtol=0)
    assert (one.reads, one.writes, one.model) == (other.reads, other.writes, other.model)


@pytest.mark.parametrize("kind", SAES)
@pytest.mark.parametrize("takes_off", [True, False])
def test_saes_go_through_every_format_that_holds_them(tmp_path: Path, kind: str, takes_off: bool) -> None:
    activation, formats = SAES[kind]
    own = replace(tiny_dictionary(), activation=activation, takes_off_b_dec=takes_off, model="tiny")
    read = own
    for format in (*formats, *formats):
        read = load(save(read, tmp_path / format, format=format))
        assert_same(read, own)


def test_gated_ones_and_transcoders_do_too(tmp_path: Path) -> None:
    tiny = replace(tiny_dictionary(), model="tiny")
    gated = replace(tiny, activation=Gated(tiny.b_enc, N, -N), takes_off_b_dec=True)
    for format in ("saelens", "dictionary_learning"):
        assert_same(load(save(gated, tmp_path / format, format=format)), gated)
    sites = {"reads": Site(0, "mlp_in"), "writes": (Site(0, "mlp_out"),)}
    skip = torch.eye(16, dtype=torch.float64) * 0.5
    for activation, formats in (
        (JumpReLU(N), ("saelens", "circuit-tracer")),
        (TopK(3), ("sparsify", "circuit-tracer")),
    ):
        read = own = replace(tiny, activation=activation, skip=skip, takes_off_b_dec=True, **sites)
        for format in formats:
            read = load(save([read], tmp_path / f"{format} {type(activation).__name__}", format=format))
            assert_same(read, own)


def test_taking_off_the_bias_changes_no_feature() -> None:
    tiny = tiny_dictionary()
    assert_same(taking_off_b_dec(tiny, True), tiny)
    assert_same(taking_off_b_dec(replace(tiny, takes_off_b_dec=True), False), replace(tiny, takes_off_b_dec=True))


def test_formats_are_found_by_being_there() -> None:
    assert set(FORMATS) >= {
        "saelens",
        "sparsify",
        "dictionary_learning",
        "gemma-scope",
        "gemma-scope-2",
        "circuit-tracer",
    }
