"""Effects are integrated gradients: exact in a linear model, complete at each site, and those of the neurons where a
dictionary is the identity. Edges of a linear model add up to effects."""

from dataclasses import replace

import pytest
import torch

from acdc.features.circuits.edges import LOGITS, feature_edges, n_passes
from acdc.features.circuits.effects import node_effects
from acdc.features.circuits.masks import Kept
from acdc.features.circuits.nodes import NodeName
from acdc.features.normalizations import LayerNorm
from acdc.features.sites import Site, through_sites
from acdc.patching.frozen import frozen
from tests.discovery.attribution.test_gradient_scorers import linear_problem
from tests.features.circuits.tiny import SITES, loss_with, runs_on, sae, split_identity, tiny_problem, transcoder


def exact_effects(runs, names):
    """One forward pass a node: its ablated value is put where the model reads it, and all else is the model's own."""
    (piece,) = runs.pieces
    clean, ablated, found = runs.clean(piece), runs.ablated(piece), {}
    for name in names:
        i = runs.placed.sites.index(name.site)
        if name.index is None:
            change = ablated[i][1] - clean[i].error
        else:
            by = ablated[i][0] - clean[i].features
            change = by[..., name.index, None] * runs.placed.dictionaries[i].decoder[name.index, 0]
        if name.span:
            here = runs.problem.batch.span_ids == runs.problem.batch.spans.index(name.span)
            change = change * here[..., None]
        found[name] = loss_with(runs.problem, {name.site: change}) - runs.problem.model_loss
    return found


@pytest.mark.parametrize(("ablation", "span"), [("corrupt", ""), ("mean", ""), ("zero", "end"), ("corrupt", "name")])
def test_a_circuit_without_one_node_is_the_model_with_that_node_ablated(ablation: str, span: str) -> None:
    runs = runs_on(tiny_problem(spans=bool(span)), ablation=ablation, errors="running")
    names = [NodeName(site, index, span) for site in SITES for index in (0, 5, 17, None)]
    for name, effect in exact_effects(runs, names).items():
        without = ~Kept.of(runs.placed, runs.problem.batch.spans, [name])
        assert runs.loss(without) - runs.problem.model_loss == pytest.approx(effect, abs=1e-10)


@pytest.mark.parametrize("quadrature", ["midpoint", "right"])
@pytest.mark.parametrize("ablation", ["corrupt", "mean"])
def test_in_a_linear_model_effects_are_exact(quadrature: str, ablation: str) -> None:
    runs = runs_on(linear_problem(), ablation=ablation)
    found = node_effects(runs, steps=1, quadrature=quadrature).ranked()
    assert len(found) > 20
    expected = exact_effects(runs, [name for name, _ in found[::3]])
    assert {name: effect for name, effect in found if name in expected} == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("spans", [False, True])
def test_a_site_s_effects_add_up_to_what_ablating_it_does(spans: bool) -> None:
    normed = replace(sae(SITES[0]), normalization=LayerNorm(1e-5))
    runs = runs_on(tiny_problem(spans=spans), [normed, transcoder(1)])
    found = node_effects(runs, steps=16, quadrature="gauss-legendre")
    assert found.features[0].shape[0] == (3 if spans else 1)
    for i, site in enumerate(runs.placed.sites):
        names = [NodeName(site, index) for index in (None, *range(24))]
        without = replace(runs, errors="running").loss(~Kept.of(runs.placed, runs.problem.batch.spans, names))
        total = float(found.features[i].sum() + found.errors[i].sum())
        assert total == pytest.approx(without - runs.problem.model_loss, rel=1e-3)


def test_an_identity_gives_the_neurons_own_effects_and_no_errors() -> None:
    problem, site = tiny_problem(), Site(0, "resid_post")
    runs = runs_on(problem, [split_identity(site)])
    found = node_effects(runs, steps=4)
    assert float(found.errors[0].abs().max()) == found.error_share == 0
    values, gradient = [], 0.0
    for ids in (problem.batch.clean, problem.batch.corrupt):
        with torch.no_grad():
            values.append(through_sites(problem.model, problem.batch, ids, lambda _, x: x, stop=site))
    change = values[1] - values[0]
    with frozen(problem.model), torch.enable_grad():
        for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8):
            x = (values[0] + share * change).requires_grad_()
            final = through_sites(
                problem.model, problem.batch, problem.batch.clean, lambda at, y, x=x: x if at == site else y
            )
            logits = problem.model.unembed(final[:, -1], problem.objective.tokens)
            gradient = gradient + torch.autograd.grad(problem.objective.loss(logits).sum(), x)[0] / 4
    neurons = ((gradient * change) * problem.batch.attention[..., None]).sum((0, 1))
    features = found.features[0][0]
    torch.testing.assert_close(features[:16] + features[16:], neurons, atol=1e-12, rtol=0)


@pytest.mark.parametrize("spans", [False, True])
def test_an_identity_s_circuit_is_that_of_the_neurons(spans: bool) -> None:
    """Features of kept neurons, at all positions or at one span, and no error: the other neurons are patched."""
    problem, site = tiny_problem(spans=spans), Site(0, "resid_post")
    runs, span, neurons = runs_on(problem, [split_identity(site)]), "end" if spans else "", [1, 4, 9]
    clean, corrupt = (
        through_sites(problem.model, problem.batch, ids, lambda _, x: x, stop=site).detach()
        for ids in (problem.batch.clean, problem.batch.corrupt)
    )
    here = torch.ones_like(problem.batch.attention)
    if spans:
        here = problem.batch.span_ids == problem.batch.spans.index(span)
    kept = torch.zeros_like(clean, dtype=torch.bool)
    kept[..., neurons] = here[..., None]
    names = [NodeName(site, index, span) for neuron in neurons for index in (neuron, neuron + 16)]
    patched = loss_with(problem, {site: (corrupt - clean).masked_fill(kept, 0.0)})
    assert runs.loss(Kept.of(runs.placed, problem.batch.spans, names)) == pytest.approx(patched, abs=1e-10)


def test_pieces_of_prompts_change_nothing() -> None:
    problem = tiny_problem(spans=True)
    whole, parts = runs_on(problem, ablation="mean"), runs_on(problem, ablation="mean", memory=1)
    assert (len(whole.pieces), len(parts.pieces)) == (1, problem.batch.n)
    one, other = (node_effects(runs, steps=3) for runs in (whole, parts))
    torch.testing.assert_close(one.features, other.features, atol=1e-12, rtol=0)
    names = [name for name, _ in one.ranked()[:10]]
    kept = Kept.of(whole.placed, problem.batch.spans, names)
    torch.testing.assert_close(whole.logits(kept), parts.logits(kept), atol=1e-12, rtol=0)
    edges = [feature_edges(runs, found, names, steps=2) for runs, found in ((whole, one), (parts, other))]
    weights = [{(edge.src, edge.dst): edge.weight for edge in each} for each in edges]
    assert weights[0] == pytest.approx(weights[1], abs=1e-12)


def edge_by_edge(runs, found, names):
    """The same weights by their definition: what a node does to a value that one backward pass derives, in a run in
    which each dictionary's site is a leaf."""
    (piece,), placed, spans = runs.pieces, runs.placed, runs.problem.batch.spans
    clean, ablated, weights = runs.clean(piece), runs.ablated(piece), {}

    def here(node):
        real = piece.batch.attention
        return (real & (piece.batch.span_ids == spans.index(node.span)) if node.span else real).double()

    for d in (name for name in names if name.site != placed.sites[0]):
        leaves, values = [], []

        def put(i, read, written, leaves=leaves, values=values):
            values.append((placed.dictionaries[i].encode(read), written, read))
            leaves.append(clean[i].written.clone().requires_grad_())
            return leaves[-1]

        with frozen(runs.problem.model), torch.enable_grad():
            runs.run_clean(piece, put)
            i = placed.sites.index(d.site)
            features, written, read = values[i]
            gradient = found.gradients[i][0]
            if d.index is None:
                moved = written - placed.dictionaries[i].decode(features, read)
            else:
                moved = features[..., d.index, None] * placed.dictionaries[i].decoder[d.index, 0]
            (moved * gradient * here(d)[..., None]).sum().backward()
        for u in names:
            j = placed.sites.index(u.site)
            if j < i and leaves[j].grad is not None:
                by = ablated[j][1] - clean[j].error
                if u.index is not None:
                    by = (ablated[j][0] - clean[j].features)[..., u.index, None] * placed.dictionaries[j].decoder[
                        u.index, 0
                    ]
                weights[str(u), str(d)] = float((leaves[j].grad * by * here(u)[..., None]).sum())
    return {ends: weight for ends, weight in weights.items() if weight}


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mixtral"])
def test_edges_of_many_nodes_at_once_are_those_of_one_backward_pass_each(family: str) -> None:
    problem = tiny_problem(family, spans=family == "gpt2")
    runs = runs_on(problem, [sae(Site(0, "attn_out")), sae(Site(0, "resid_post")), sae(Site(1, "mlp_out"))])
    found = node_effects(runs, steps=2)
    ranked = [name for name, _ in found.ranked()]
    names = [*(name for name in ranked if name.index is None), *ranked[: len(ranked) : 7]]
    for at_once in (None, 3):
        edges = feature_edges(runs, found, names, steps=1, at_once=at_once)
        inner = {(edge.src, edge.dst): edge.weight for edge in edges if edge.dst != LOGITS}
        assert inner == pytest.approx(edge_by_edge(runs, found, names), abs=1e-12)
        assert len(inner) > 20


def test_backward_passes_are_counted_as_they_are_made() -> None:
    """None for nodes that no edge enters, and none at all where one site's effects are its edges."""
    problem = tiny_problem()
    for dictionaries in ([sae(SITES[1])], [sae(SITES[0]), sae(SITES[1])]):
        runs, made = runs_on(problem, dictionaries), []
        found = node_effects(runs, steps=3)
        names = [name for name, _ in found.ranked()[:12]]
        edges = feature_edges(runs, found, names, steps=3, note=made.append)
        assert sum(made) == n_passes(names, runs.placed.sites, 3)
        if len(dictionaries) == 1:
            assert not made
            effects = {str(name): effect for name, effect in found.ranked()[:12]}
            assert {edge.src: edge.weight for edge in edges} == pytest.approx(effects, abs=1e-12)
    assert n_passes(names, runs.placed.sites, 3) == 3 + sum(name.site == SITES[1] for name in names)
    assert n_passes([], runs.placed.sites, 3) == 0


def test_permuting_features_permutes_everything() -> None:
    problem, site = tiny_problem(), SITES[1]
    plain, order = sae(site), torch.randperm(24, generator=torch.Generator().manual_seed(0))
    mixed = replace(plain, encoder=plain.encoder[order], b_enc=plain.b_enc[order], decoder=plain.decoder[order])
    first, second = (node_effects(runs_on(problem, [each]), steps=2) for each in (plain, mixed))
    torch.testing.assert_close(first.features[0][:, order], second.features[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(first.errors[0], second.errors[0], atol=1e-12, rtol=0)


def test_in_a_linear_model_a_node_s_edges_add_up_to_its_effect() -> None:
    """What features and error of a site downstream do is what the site does, so every way to the logits is counted."""
    normed = replace(sae(SITES[1]), normalization=LayerNorm(1e-5))
    runs = runs_on(linear_problem(), [sae(SITES[0]), normed, transcoder(1)])
    found = node_effects(runs, steps=1)
    names = [name for name, _ in found.ranked()]
    out = dict.fromkeys(map(str, names), 0.0)
    for edge in feature_edges(runs, found, names, steps=1):
        out[edge.src] += edge.weight
    for name, effect in found.ranked():
        assert out[str(name)] == pytest.approx(effect, abs=1e-9), name


def test_a_site_between_stops_an_edge() -> None:
    """The residual stream behind block 0 is all that block 1 reads of it."""
    runs = runs_on(tiny_problem(), [sae(Site(0, "mlp_out")), sae(Site(0, "resid_post")), sae(Site(1, "mlp_out"))])
    found = node_effects(runs, steps=2)
    names = [name for name, _ in found.ranked()]
    ends = {(edge.src.split("/")[0], edge.dst.split("/")[0]) for edge in feature_edges(runs, found, names, steps=2)}
    assert ends == {
        ("mlp_out.0", "resid_post.0"),
        ("resid_post.0", "mlp_out.1"),
        ("resid_post.0", LOGITS),
        ("mlp_out.1", LOGITS),
    }


def test_edges_to_the_logits_add_up_to_what_the_loss_rises_by_without_any_node() -> None:
    runs = runs_on(tiny_problem(), [sae(SITES[0]), transcoder(1), sae(Site(1, "resid_post"))])
    found = node_effects(runs, steps=1)
    names = [NodeName(site, index) for site in runs.placed.sites for index in (None, *range(24))]
    edges = feature_edges(runs, found, names, steps=16, quadrature="gauss-legendre")
    total = sum(edge.weight for edge in edges if edge.dst == LOGITS)
    assert total == pytest.approx(runs.loss(Kept.all(runs.placed, (), False)) - runs.problem.model_loss, rel=1e-3)
