"""What is read of features equals what a sort of all activations says, whatever order and batches they come in."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from acdc.errors import ModelError, RunError, TaskError
from acdc.features.activations import ReLU
from acdc.features.dictionary import Dictionary
from acdc.features.reading import tally, windows_of
from acdc.features.reading.read import features_hash, read_features
from acdc.features.reading.record import FeatureReading
from acdc.features.reading.slices import BEFORE
from acdc.features.reading.tally import N_FIRED
from acdc.features.site_values import behind_first
from acdc.features.sites import Site, through_sites
from acdc.metrics.answers import wide
from tests.features.reading.planted import planted
from tests.features.test_dictionary import SITE, tiny_dictionary
from tests.tiny import tiny_batch, tiny_model

PER_FEATURE = ("histogram", "total", "fired")


@pytest.fixture(scope="module")
def tiny() -> tuple:
    model, batch = tiny_model("gpt2"), tiny_batch(n=40)
    dictionary = replace(tiny_dictionary(), b_enc=torch.linspace(-9, 3, 12).double())  # rare ones and frequent ones
    return model, batch, dictionary, read_features(model, dictionary, batch)


def test_counts_and_examples_are_those_of_all_activations(tiny: tuple) -> None:
    model, batch, dictionary, reading = tiny
    seen = behind_first(batch)
    with torch.no_grad():
        x = through_sites(model, batch, batch.clean, lambda _, x: x, stop=SITE)
    features = (dictionary.encode(x) * seen[..., None]).numpy()
    assert reading.about.n_tokens == int(seen.sum())
    np.testing.assert_array_equal(reading.n_fires, (features > 0).sum((0, 1)))
    np.testing.assert_allclose(reading.total, features.sum((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(reading.act_max, features.max((0, 1)), rtol=1e-6)
    for i in range(reading.n_features):
        best = features[..., i].max(1)
        order = [w for w in np.argsort(-best, kind="stable")[:16] if best[w] > 0]
        right = [w * batch.n_pos + features[w, :, i].argmax() for w in order]
        assert reading.top.where[i, : len(right)].tolist() == right
        np.testing.assert_allclose(reading.top.acts[i, : len(right), BEFORE], best[order], rtol=1e-6)
        active = features[..., i].reshape(-1) > 0
        fired = reading.fired[i][reading.fired[i] >= 0]
        assert len(set(fired)) == len(fired) == min(N_FIRED, active.sum()) and active[fired].all()
        there = reading.examples.where[i][reading.examples.where[i] >= 0]
        assert len(set(there // batch.n_pos)) == len(there) and active[there].all()
        probed = [(features[p // batch.n_pos, :, i] > 0).any() for p in reading.probes]
        assert reading.active[:, i].tolist() == probed  # these windows are no longer than a slice


def test_batches_change_nothing_and_features_that_change_places_change_all(
    tiny: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch, dictionary, reading = tiny
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    other = replace(
        dictionary,
        encoder=dictionary.encoder[order],
        b_enc=dictionary.b_enc[order],
        decoder=dictionary.decoder[:][order],
    )
    monkeypatch.setattr(tally, "MEMORY", 1)  # a window at a time
    _same(read_features(model, other, batch), reading, order.numpy())
    assert features_hash(other) != features_hash(dictionary)
    monkeypatch.setattr(tally, "MEMORY", 4000)  # room for what some windows' activations are, and the others run again
    kept = tally.tally(model, dictionary, batch, behind_first(batch), np.arange(batch.n * batch.n_pos)).kept
    assert 0 < len(kept) < batch.n
    _same(read_features(model, other, batch), reading, order.numpy())


def _same(found: FeatureReading, reading: FeatureReading, to: np.ndarray) -> None:
    """Up to the features' places."""
    for name in PER_FEATURE:
        np.testing.assert_allclose(getattr(found, name), getattr(reading, name)[to], rtol=1e-6)
    for name in ("top", "examples"):
        np.testing.assert_array_equal(getattr(found, name).where, getattr(reading, name).where[to])
        np.testing.assert_allclose(getattr(found, name).acts, getattr(reading, name).acts[to], rtol=1e-5)
    np.testing.assert_array_equal(found.active, reading.active[:, to])
    np.testing.assert_array_equal(found.raises.which, reading.raises.which[to])
    np.testing.assert_array_equal(to[found.near.which], reading.near.which[to])
    assert found.frame().drop(columns="feature").equals(reading.frame(to.tolist()).drop(columns="feature"))


def test_logits_are_what_the_unembedding_makes_of_what_is_written_and_neighbours_are_nearest(tiny: tuple) -> None:
    model, _, dictionary, reading = tiny
    parts = model.components
    with torch.no_grad():
        written = dictionary.decoder[:][:, 0] * parts.ln_final.weight
        written = written - dictionary.decoder[:][:, 0].mean(1, keepdim=True) * parts.ln_final.weight
        logits = wide(written @ parts.unembed.T)
        logits = logits - logits.mean(1, keepdim=True)
    torch.testing.assert_close(
        torch.from_numpy(reading.raises.value).double(), logits.topk(10).values, atol=0, rtol=1e-5
    )
    torch.testing.assert_close(
        torch.from_numpy(reading.lowers.value).double(), -(-logits).topk(10).values, atol=0, rtol=1e-5
    )
    cosine = torch.nn.functional.cosine_similarity(dictionary.decoder[:], dictionary.decoder[:].transpose(0, 1), dim=-1)
    cosine.fill_diagonal_(-2)
    assert reading.near.which.tolist() == cosine.topk(8).indices.tolist()


def test_what_heads_write_goes_through_W_O_and_what_an_mlp_reads_raises_nothing() -> None:
    model, batch = tiny_model("llama-gqa"), tiny_batch(n=12)
    W_O = model.components.blocks[1].attention.W_O.detach().flatten(0, 1)
    at_heads = tiny_dictionary(d=len(W_O), site=Site(1, "z"))
    behind = replace(tiny_dictionary(d=W_O.shape[1]), decoder=(at_heads.decoder[:][:, 0] @ W_O)[:, None])
    found, right = (read_features(model, each, batch).raises for each in (at_heads, behind))
    np.testing.assert_array_equal(found.which, right.which)
    np.testing.assert_allclose(found.value, right.value, rtol=1e-5)
    assert read_features(model, tiny_dictionary(d=32, site=Site(1, "mlp_in")), batch).raises.which.shape == (12, 0)


def test_the_text_is_cut_into_windows_and_their_first_tokens_do_not_count() -> None:
    model = tiny_model("gpt2")
    batch = windows_of(["1 2 3 4 5", "6 7 8", "9"], model, length=3, bos=False)
    assert [row[seen].tolist() for row, seen in zip(batch.clean, batch.attention, strict=True)] == [
        [1, 2, 3],
        [4, 5],
        [6, 7, 8],
    ]
    assert behind_first(batch).sum().item() == 5
    assert windows_of(["1 2 3 4 5 6 7 8"], model, length=3, most=3, bos=False).n == 1


def test_tokens_are_counted_with_their_shares(tiny: tuple) -> None:
    reading, total = tiny[3], 0.0
    for index in range(reading.n_features):
        where = reading.fired[index][reading.fired[index] >= 0]
        for before in (0, 1):
            there = [divmod(token, reading.ids.shape[1]) for token in where.tolist()]
            counts = Counter(int(reading.ids[row, column - before]) for row, column in there if column >= before)
            ranked = sorted(
                ((token, n) for token, n in counts.items() if token >= 0), key=lambda pair: (-pair[1], pair[0])
            )
            right = [(reading.names[token], n / len(where)) for token, n in ranked]
            assert list(reading.fires_on(index, before=before)) == right
        shares = [share for _, share in reading.fires_on(index)]
        assert reading.entropy(index) == pytest.approx(-sum(s * np.log2(s) for s in shares)) or not shares
        total += len(shares)
    assert total > 20


def test_search_by_token(tiny: tuple) -> None:
    found: FeatureReading = planted().reading
    text = found.names[planted().token]
    assert found.on_token(text)[0] == 0 and found.on_token(text, before=1)[0] == 1
    with pytest.raises(RunError, match=r"no token of 'induction' is 'i'; did you mean ' i'\?"):
        found.on_token(text.strip())


def test_mistakes_are_told(tiny: tuple) -> None:
    model, batch, dictionary, _ = tiny
    with pytest.raises(ModelError, match="reads 24 dimensions"):
        read_features(model, tiny_dictionary(d=24), batch)
    with pytest.raises(ModelError, match="its encoder holds NaN or infinite numbers"):
        read_features(model, replace(dictionary, encoder=dictionary.encoder * float("nan")), batch)
    with pytest.raises(TaskError, match=r"no window of more than 50 token\(s\)"):
        read_features(model, dictionary, batch, skip=50)
    with pytest.raises(RunError, match="0 or more, not -1"):
        read_features(model, dictionary, batch, skip=-1)
    with pytest.raises(TaskError, match="the text is empty"):
        windows_of([""], model)
    with pytest.raises(TaskError, match="the text is too short"):
        windows_of(["1"], model, bos=False)
    with pytest.raises(TaskError, match="windows of 2 tokens are too short; give at least 3"):
        windows_of(["1 2"], model, length=2, bos=True)
    with pytest.raises(RunError, match="windows of 100 tokens are longer than the context of 'gpt2', 32"):
        windows_of(["1 2"], model, length=100)


def test_a_feature_that_never_fires_is_read_too(tiny: tuple) -> None:
    model, batch, _, _ = tiny
    silent = replace(tiny_dictionary(), b_enc=torch.full((12,), -1e6).double())
    found = read_features(model, silent, batch)
    assert (found.n_fires == 0).all() and found.fires_on(0) == ()
    assert isinstance(silent, Dictionary) and isinstance(silent.activation, ReLU)
    assert found.frame()["act_max"].eq(0).all()
