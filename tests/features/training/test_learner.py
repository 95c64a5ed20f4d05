"""Training keeps each variant's promise on features, finds the features of a toy, and folds its scale back exactly."""

import pytest
import torch
from torch import Tensor

from acdc.errors import RunError, UnknownNameError
from acdc.features.activations import JumpReLU, TopK
from acdc.features.sites import Site
from acdc.features.training import VARIANTS, Recipe
from acdc.features.training.learner import Learner
from acdc.features.training.recipe import learning_rate
from acdc.features.training.revival import auxk
from acdc.features.training.variants import batchtopk, jumprelu, matryoshka
from acdc.features.training.weights import Weights, geometric_median
from benchmarks.toy_features import TOYS, Toy, learned, recipe_of

SITE = Site(0, "resid_post")


def tokens(n: int = 40, d: int = 6, seed: int = 0) -> Tensor:
    return 3 * torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 1


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_saved_does_to_activations_what_was_trained_on_scaled_ones(name: str) -> None:
    x, y = tokens(), 7 * tokens(d=4, seed=1)
    for target, skip in ((None, False), (y, True)):
        learner = Learner(Recipe(name, width=12, k=3, skip=skip, rate=0.01), x, target, steps=5, seed=0)
        for step in range(5):
            learner.step(x, target, step)
        into, out = learner.scales
        assert (x * into).square().sum(1).mean().item() == pytest.approx(1)
        dictionary = learner.dictionary("toy", SITE, SITE, "toy")
        threshold = learner.weights.threshold
        activation = learner.variant.activation(3, None if threshold is None else threshold.detach())
        features = activation(learner.weights.pre(x * into).detach())
        made = learner.weights.written(features, x * into).detach() / out
        torch.testing.assert_close(dictionary.encode(x), features / out)
        torch.testing.assert_close(dictionary.decode(dictionary.encode(x), x), made)
        torch.testing.assert_close(dictionary.decoder[:].norm(dim=2), torch.ones(12, 1, dtype=torch.float64))
        assert isinstance(dictionary.activation, TopK if name == "topk" else JumpReLU)
        assert int((dictionary.encode(x) > 0).sum(1).max()) <= (3 if name == "topk" else 12)


def test_batchtopk_of_one_token_is_topk_and_of_many_keeps_k_each_on_average() -> None:
    pre = tokens(20, 30)
    weights = Weights.start(tokens(), None, 30, skip=False, seed=0)
    for row in pre:
        assert torch.equal(batchtopk.choose(weights, row[None], 4), TopK(4)(row[None]))
    found = batchtopk.choose(weights, pre, 4)
    assert int((found > 0).sum()) == 80 and len(set((found > 0).sum(1).tolist())) > 1
    assert found[found > 0].min() > pre[(found == 0) & (pre > 0)].max()


def test_the_threshold_of_batchtopk_follows_the_least_feature_that_a_batch_kept() -> None:
    weights = Weights.start(tokens(), None, 3, skip=False, seed=0)
    weights.threshold = torch.tensor(0.0, dtype=torch.float64)
    batchtopk.observe(weights, torch.tensor([[0.0, 2.0, 3.0]], dtype=torch.float64))
    assert weights.threshold.item() == 2
    batchtopk.observe(weights, torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64))
    assert weights.threshold.item() == pytest.approx(1.99)


def test_matryoshka_is_batchtopk_whose_first_features_must_do_alone() -> None:
    x, weights = tokens(), Weights.start(tokens(), None, 32, skip=False, seed=0)
    features = batchtopk.choose(weights, weights.pre(x), 4)
    expected = []
    for level in (2, 4, 8, 16, 32):
        made = features[:, :level] @ weights.decoder[:level] + weights.b_dec
        expected.append((x - made).square().sum(1).mean())
    left = x - weights.written(features, x)
    torch.testing.assert_close(matryoshka.error(weights, features, x, x, left), torch.stack(expected).mean())


def test_jumprelu_learns_its_thresholds_by_what_is_near_them() -> None:
    pre = torch.tensor([[0.2, 0.4999, 0.9], [0.5004, 0.1, 0.7]], dtype=torch.float64)
    threshold = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)
    jumprelu.Step.apply(pre, threshold).sum().backward()
    assert threshold.grad is not None
    assert threshold.grad.tolist() == [-1 / jumprelu.BANDWIDTH, -1 / jumprelu.BANDWIDTH, 0]


def test_dead_features_learn_what_the_living_leave_over_and_the_living_do_not() -> None:
    x = tokens()
    weights = Weights.start(x, None, 8, skip=False, seed=0)
    weights.decoder.requires_grad_()
    dead = torch.tensor([True, False] * 4)
    assert auxk(weights, weights.pre(x), x, torch.zeros(8, dtype=torch.bool)) is None
    loss = auxk(weights, weights.pre(x), x - x.mean(0), dead)
    assert loss is not None
    loss.backward()
    assert weights.decoder.grad is not None
    assert weights.decoder.grad[~dead].abs().max() == 0 < weights.decoder.grad[dead].abs().min()
    learner = Learner(Recipe(width=12, k=3, dead_after=40), x, None, steps=9, seed=0)
    learner.silent[0] = 39
    learner.weights.b_enc.data[0] = -100.0  # never on
    assert learner.step(x, None, 0).dead == pytest.approx(1 / 12)


def test_the_decoders_gradient_turns_its_rows_and_never_stretches_them() -> None:
    weights = Weights.start(tokens(), None, 5, skip=False, seed=0)
    weights.decoder.grad = tokens(5, 6, seed=2)
    weights.drop_parallel_gradient()
    torch.testing.assert_close((weights.decoder.grad * weights.decoder).sum(1), torch.zeros(5, dtype=torch.float64))


def test_the_geometric_median_stays_where_most_points_are() -> None:
    points = torch.cat([0.01 * tokens(99, 3), torch.full((1, 3), 1e4, dtype=torch.float64)])
    assert geometric_median(points).norm() < 0.1 < points.mean(0).norm()


def test_the_learning_rate_falls_with_the_root_of_the_width() -> None:
    assert learning_rate(Recipe(width=2**14)) == pytest.approx(2e-4)
    assert learning_rate(Recipe(width=2**12)) == pytest.approx(4e-4)
    assert learning_rate(Recipe(rate=0.1)) == 0.1


def test_settings_that_make_no_dictionary_are_refused() -> None:
    with pytest.raises(RunError, match="width must be at least 1, not 0"):
        Recipe(width=0)
    with pytest.raises(RunError, match="k must be at least 1, not -2"):
        Recipe(k=-2)
    with pytest.raises(RunError, match="k must be at most the width of the dictionary, 8 features, not 9"):
        Recipe(width=8, k=9)
    with pytest.raises(RunError, match=r"learning rate must lie between 0 and 1, not 3\.0"):
        Recipe(rate=3.0)
    with pytest.raises(UnknownNameError, match="did you mean 'topk'"):
        Recipe("top-k")


@pytest.mark.parametrize("name", ["topk", "jumprelu"])
def test_the_features_of_a_small_toy_are_found(name: str) -> None:
    toy = Toy(32, 24, 0.05, 0.0)
    learner = learned(toy, Recipe(name, width=32, k=2, rate=0.01, dead_after=7_680), 600, 128)
    assert toy.recovered(learner) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topk", "batchtopk", "jumprelu"])
def test_every_variant_finds_the_features_of_a_toy_of_superposition(name: str) -> None:
    toy = TOYS["flat"]()
    assert toy.recovered(learned(toy, recipe_of(toy, name, 3, 3000), 3000)) > 0.95


@pytest.mark.slow
def test_a_transcoder_finds_the_features_that_it_is_to_write() -> None:
    toy = TOYS["flat"]()
    learner = learned(toy, recipe_of(toy, "topk", 3, 3000), 3000, transcoder=True)
    assert toy.recovered(learner, transcoder=True) > 0.95


@pytest.mark.slow
def test_topk_finds_even_those_of_four_features_a_dimension() -> None:
    toy = TOYS["crowded"]()
    learner = learned(toy, Recipe(width=64, k=2, rate=0.01, dead_after=38_400), 1500, 256)
    assert toy.recovered(learner) > 0.95


@pytest.mark.slow
def test_matryoshka_keeps_parents_and_children_apart_where_batchtopk_does_not() -> None:
    found = {}
    for name in ("batchtopk", "matryoshka"):
        toy = TOYS["tree"]()
        found[name] = toy.recovered(learned(toy, recipe_of(toy, name, 1, 3000), 3000))
    assert found["matryoshka"] > found["batchtopk"] + 0.02
