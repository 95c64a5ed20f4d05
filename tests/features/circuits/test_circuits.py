"""What a feature circuit is, keeps and says: everything gives the model, nothing its ablated run; files hold it; and
what can't be used is refused by name."""

import functools
import json
from dataclasses import replace

import pytest
import torch

from acdc.circuits.weighted import WeightedGraph
from acdc.errors import CircuitError, FileError, ModelError, RunError, UnknownNameError
from acdc.features.circuits import FeatureCircuit, evaluate, find, load_feature_circuit, shift
from acdc.features.circuits.masks import Kept
from acdc.features.circuits.nodes import NodeName
from acdc.features.circuits.placed import Placed
from acdc.features.sites import Site, through_sites
from acdc.patching.problem import Problem
from acdc.prompts.positions import split_as
from tests.features.circuits.tiny import SITES, loss_with, runs_on, sae, split_identity, tiny_problem, transcoder
from tests.tiny import tiny_batch, tiny_model

DICTIONARIES = [sae(SITES[1]), sae(SITES[2]), transcoder(1)]


@functools.cache
def small_circuit() -> FeatureCircuit:
    return find(tiny_problem(), DICTIONARIES, n_nodes=12, steps=3)


@pytest.mark.parametrize("errors", ["frozen", "running", "kept"])
@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_everything_kept_is_the_model_to_the_last_bit(family: str, errors: str) -> None:
    problem = tiny_problem(family)
    runs = runs_on(problem, DICTIONARIES, errors=errors)
    start = min(each.reads.layer for each in DICTIONARIES)
    resid = problem.clean.resid_pre[start]
    with torch.no_grad():
        own = through_sites(
            problem.model, problem.batch, problem.batch.clean, lambda _, x: x, embeddings=resid, start=start
        )
        own = problem.model.unembed(own[:, -1])
    logits = runs.logits(Kept.all(runs.placed, (), True))
    assert torch.equal(logits, own)
    torch.testing.assert_close(logits, problem.clean.logits, atol=1e-12, rtol=0)


def test_nothing_kept_is_the_corrupted_run_where_the_sites_are_all_that_is_read() -> None:
    problem = tiny_problem()
    runs = runs_on(problem, [sae(Site(0, "resid_post"))])
    corrupted = problem.model.unembed(
        through_sites(problem.model, problem.batch, problem.batch.corrupt, lambda _, x: x)[:, -1]
    )
    none = runs.logits(Kept.all(runs.placed, (), False))
    torch.testing.assert_close(none, corrupted.detach(), atol=1e-12, rtol=0)


def test_a_kept_error_that_is_frozen_restores_nothing_of_what_was_ablated_before_it() -> None:
    """A dictionary that says nothing leaves all to its error. Its site then is what the error is: a running one lets
    the ablated features of an earlier site through, a frozen one stands for the clean run and would bring them back,
    and neither depends on features that are kept at its own site."""
    problem, first, later = tiny_problem(), Site(0, "mlp_out"), Site(1, "mlp_out")
    mute = replace(sae(later), b_enc=torch.full((24,), -1e3, dtype=torch.float64))
    gone = ~Kept.of(Placed.on(problem.model, [sae(first), mute]), (), [NodeName(first, i) for i in range(24)])
    running, frozen = (runs_on(problem, [sae(first), mute], errors=name) for name in ("running", "frozen"))
    clean, ablated = running.clean(running.pieces[0])[0], running.ablated(running.pieces[0])[0]
    change = (ablated[0] - clean.features) @ running.placed.dictionaries[0].decoder[:, 0]
    assert running.loss(gone) == pytest.approx(loss_with(problem, {first: change}), abs=1e-10)
    assert abs(frozen.loss(gone) - running.loss(gone)) > 1e-4
    poor = replace(sae(first), decoder=sae(first).decoder * 0)  # of which the error is the site
    only_error = Kept.of(Placed.on(problem.model, [poor]), (), [NodeName(first, None)])
    for name in ("running", "frozen"):
        assert runs_on(problem, [poor], errors=name).loss(only_error) == pytest.approx(problem.model_loss, abs=1e-10)


def test_one_kept_error_doesn_t_bring_back_the_features_of_its_site() -> None:
    """An error that took up all that the kept features leave over would."""
    problem, site = tiny_problem(), SITES[1]
    for errors in ("frozen", "running"):
        runs = runs_on(problem, [sae(site)], errors=errors)
        clean, ablated = runs.clean(runs.pieces[0])[0], runs.ablated(runs.pieces[0])[0]
        change = (ablated[0] - clean.features) @ runs.placed.dictionaries[0].decoder[:, 0]
        found = runs.loss(Kept.of(runs.placed, (), [NodeName(site, None)]))
        assert found == pytest.approx(loss_with(problem, {site: change}), abs=1e-10)
        assert abs(found - problem.model_loss) > 1e-3


def test_faithfulness_is_1_of_all_nodes_and_0_of_none_and_in_between_what_a_forward_pass_says() -> None:
    problem = tiny_problem()
    found = find(problem, DICTIONARIES, faithfulness=0.8, steps=3, n_joined=0)
    curve = {point["n_nodes"]: point["faithfulness"] for point in found.told["curve"]}
    assert curve[0] == 0
    assert curve[found.n_candidates] == pytest.approx(1, abs=1e-9)
    assert found.told["faithfulness"] >= 0.8 > curve[max(n for n in curve if n < len(found.nodes))]
    evidence = evaluate(found, problem, DICTIONARIES, n_sets=2)
    assert evidence.faithfulness.value == pytest.approx(found.told["faithfulness"], abs=1e-9)
    whole = find(problem, DICTIONARIES, n_nodes=10**6, steps=1, n_joined=0)
    evidence = evaluate(whole, problem, DICTIONARIES, n_sets=0)
    assert evidence.faithfulness.value == pytest.approx(1, abs=1e-9)
    assert evidence.of_complement.value == pytest.approx(0, abs=1e-9)
    assert evidence.damages[0].gap == pytest.approx(0, abs=1e-9)
    assert evidence.n_seen == problem.batch.n_pairs
    assert "4 of them seen in the search" in evidence.summary()


def test_a_circuit_is_compared_with_its_errors_alone_and_with_random_features() -> None:
    problem = tiny_problem()
    found = find(problem, DICTIONARIES, n_nodes=12, steps=1, n_joined=0)
    errors = [(node, name) for node, name in zip(found.nodes, found.names, strict=True) if name.index is None]
    assert 0 < len(errors) < 12
    evidence = evaluate(found, problem, DICTIONARIES, n_sets=0, n_random=3)
    alone = evaluate(replace(found, nodes=tuple(node for node, _ in errors)), problem, DICTIONARIES, n_sets=0)
    assert evidence.baselines.errors_alone == pytest.approx(alone.faithfulness.value, abs=1e-9)
    assert alone.baselines.random == () and alone.baselines.overlap is None
    assert len(set(evidence.baselines.random)) == 3
    assert 0 < evidence.baselines.overlap < 1
    assert evidence.forward_passes == 3 + 4 + 2
    assert "of its errors alone" in evidence.summary() and "in 3 draws" in evidence.summary()
    whole = find(problem, DICTIONARIES, n_nodes=10**6, steps=1, n_joined=0, errors="kept")
    same = evaluate(whole, problem, DICTIONARIES, n_sets=0, n_random=1).baselines
    assert same.errors_alone is None
    assert same.random == (pytest.approx(1, abs=1e-9),)
    assert same.overlap == 1


def test_errors_that_are_removed_or_kept_are_no_nodes() -> None:
    problem = tiny_problem()
    for errors in ("kept", "removed"):
        found = find(problem, DICTIONARIES, n_nodes=10**6, steps=1, n_joined=0, errors=errors)
        assert all(name.index is not None for name in found.names)
        value = evaluate(found, problem, DICTIONARIES, n_sets=0).faithfulness.value
        assert (value == pytest.approx(1, abs=1e-9)) == (errors == "kept")


def test_an_identity_s_circuit_is_of_the_largest_neurons() -> None:
    found = find(tiny_problem(), [split_identity(SITES[1])], n_nodes=5, steps=2)
    effects = [abs(node.effect) for node in found.nodes]
    assert effects == sorted(effects, reverse=True)
    assert {edge.dst for edge in found.edges} == {"logits"}
    assert all(name.index is not None for name in found.names)


def test_nodes_are_of_spans_where_prompts_are_split() -> None:
    problem = tiny_problem(spans=True)
    found = find(problem, DICTIONARIES, threshold=0.02, steps=2)
    assert found.spans == ("name", "S1+1", "end")
    assert {"name", "end"} <= {name.span for name in found.names} <= set(found.spans)
    assert all(abs(node.effect) >= 0.02 for node in found.nodes)
    assert evaluate(found, problem, DICTIONARIES, n_sets=1).n_nodes == len(found.nodes)
    with pytest.raises(CircuitError, match="of the spans name, S1\\+1, end: split"):
        evaluate(found, tiny_problem(), DICTIONARIES)


def test_it_is_a_table_a_graph_and_a_file(tmp_path) -> None:
    found = small_circuit()
    assert load_feature_circuit(found.save(tmp_path / "circuit.json")) == found
    assert list(found.frame()["node"]) == [node.name for node in found.nodes]
    edges = found.edges_frame()
    assert (edges["weight"].abs() >= found.settings["edge_threshold"]).all()
    assert edges["weight"].abs().is_monotonic_decreasing
    graph = found.graph(labels={found.nodes[0].name: "dogs"}, most=3)
    assert isinstance(graph, WeightedGraph)
    assert len(graph.edges) == 3
    nodes = {node.id: node for node in found.graph(labels={found.nodes[0].name: "dogs"}).nodes}
    assert nodes[found.nodes[0].name].label == "dogs"
    assert nodes["logits"].kind == "logits"
    assert "12 nodes of" in found.summary()
    assert f"errors hold {found.told['error_share']:.0%} of the summed sizes" in found.summary()
    assert 0 < found.told["error_share"] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no feature circuit"),
        ({"version": 9}, "has version 9 of feature circuits; this program reads 1"),
        ({"nodes": [{"name": "mlp_out.5", "effect": 1.0}]}, "is called like mlp_out.5/123"),
        ({"nodes": [{"name": "mlp_out.1/3", "effect": None}]}, "is damaged"),
        ({"edges": [{"src": "mlp_out.9/1", "dst": "logits", "weight": 1.0}]}, "joins 'mlp_out.9/1', which is not"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change: dict, message: str) -> None:
    path = small_circuit().save(tmp_path / "circuit.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileError, match=message):
        load_feature_circuit(path)


def test_features_are_taken_out_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.interpret.neutral.SENTENCES", ("1 2 3 4 5", "7 8 9"))
    problem, names = tiny_problem(), ["resid_post.0/3", "mlp_out.1/5"]
    found = shift(problem, DICTIONARIES, names)
    runs = runs_on(problem, DICTIONARIES)
    clean = runs.clean(runs.pieces[0])
    change = {}
    for name in map(NodeName.parse, names):
        i = runs.placed.sites.index(name.site)
        gone = clean[i].features[..., name.index, None] * runs.placed.dictionaries[i].decoder[name.index, 0]
        change[name.site] = -gone
    first = loss_with(problem, {SITES[1]: change[SITES[1]]}) - problem.model_loss
    alone = shift(problem, DICTIONARIES, names[:1])
    assert alone.rows[1].change.value == pytest.approx(-first, abs=1e-9)  # logit_diff: higher is better
    assert [row.who for row in found.rows] == ["model", "without the features", "without others"]
    assert found.rows[0].change.value == 0
    assert found.rows[0].neutral_kl == pytest.approx(0, abs=1e-12)
    assert found.rows[1].neutral_kl > 1e-6
    assert found.n_neutral == 2
    fires = [(clean[runs.placed.sites.index(x.site)].features[..., x.index] > 0) for x in map(NodeName.parse, names)]
    assert found.n_firing == int(((fires[0] | fires[1]) & problem.batch.attention).any(1).sum())
    assert "can't spell it" in replace(found, n_neutral=0).summary()
    assert len(found.others) == 2
    assert not set(found.others) & set(names)
    for name, other in zip(map(NodeName.parse, names), map(NodeName.parse, found.others), strict=True):
        often = (clean[runs.placed.sites.index(name.site)].features[problem.batch.attention] > 0).sum(0)
        far = [abs(int(n) - int(often[name.index])) for i, n in enumerate(often) if n and i != name.index]
        assert other.site == name.site
        assert abs(int(often[other.index] - often[name.index])) == min(far)
    assert list(found.frame()["who"]) == [row.who for row in found.rows]


def test_what_can_t_be_used_is_refused() -> None:
    problem = tiny_problem()
    other = sae(Site(7, "mlp_out"))
    wide = replace(
        split_identity(SITES[0]),
        encoder=torch.ones(32, 20).double(),
        decoder=torch.ones(32, 1, 20).double(),
        b_dec=torch.zeros(1, 20).double(),
    )
    both, plain = (Site(0, "mlp_out"), Site(1, "mlp_out")), transcoder(0)
    twice = torch.cat([plain.decoder, plain.decoder], 1)
    cross = replace(plain, writes=both, decoder=twice, b_dec=torch.zeros(2, 16).double())
    late = replace(transcoder(0), reads=Site(1, "mlp_in"))
    refused = {
        "no dictionary is given": [],
        "has no site mlp_out.7: it has 3 layers, 0 to 2": [other],
        "reads 20 dimensions at mlp_out.0, but 'gpt2' has 16": [wide],
        "two dictionaries stand at one site": [sae(SITES[0]), transcoder(0)],
        "at resid_post.0 and .* at resid_pre.1": [sae(Site(0, "resid_post")), sae(Site(1, "resid_pre"))],
        "writes at 2 layers, as cross-layer transcoders do; .* or trace a prompt .* .acdc trace": [cross],
        "reads mlp_in.1, behind mlp_out.0": [late],
    }
    for message, dictionaries in refused.items():
        with pytest.raises(ModelError, match=message):
            find(problem, dictionaries)
    circuit = small_circuit()
    changed = [replace(each, encoder=each.encoder + 1) for each in DICTIONARIES]
    with pytest.raises(CircuitError, match="has other weights"):
        evaluate(circuit, problem, changed)
    with pytest.raises(CircuitError, match="none is given there"):
        evaluate(circuit, problem, DICTIONARIES[:2])
    with pytest.raises(CircuitError, match="where one is given: leave it out"):
        evaluate(circuit, problem, [*DICTIONARIES, sae(Site(0, "attn_out"))])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], RunError, "no feature is named"),
        (["resid_post.0/error"], RunError, "is an error, not a feature"),
        (["resid_post.0/24"], CircuitError, "has 24 features, 0 to 23"),
        (["mlp_out.0/1"], CircuitError, "dictionaries are given at resid_post.0, attn_out.1, mlp_out.1"),
        (["resid_post.0/1@S2"], CircuitError, "the prompts have no spans"),
        (["resid_post.0"], CircuitError, "is called like mlp_out.5/123"),
        (["resid.0/1"], UnknownNameError, "unknown site 'resid'"),
    ],
)
def test_features_that_aren_t_there_are_refused(names: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        shift(tiny_problem(), DICTIONARIES, names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_nodes": 3, "threshold": 0.1}, "threshold and n_nodes are different ways"),
        ({"threshold": 1e6}, "no node's effect reaches 1e\\+06: the largest is"),
        ({"steps": 0}, "steps must be"),
        ({"n_nodes": 0}, "n_nodes must be"),
    ],
)
def test_options_that_keep_nothing_are_refused(options: dict, message: str) -> None:
    with pytest.raises(RunError, match=message):
        find(tiny_problem(), DICTIONARIES, **{"steps": 1, **options})


def test_features_that_can_t_keep_enough_without_errors_say_so() -> None:
    poor = replace(sae(SITES[1], n=2), decoder=1e-3 * sae(SITES[1], n=2).decoder)
    with pytest.raises(
        RunError, match=r"that may be chosen keep .* of logit_diff, not 0\.9: ask for less, or keep errors"
    ):
        find(tiny_problem(), [poor], steps=1, errors="removed")
    mute = replace(poor, b_enc=torch.full((2,), -1e3, dtype=torch.float64))
    with pytest.raises(RunError, match="no node has an effect"):
        find(tiny_problem(), [mute], steps=1, errors="kept")


def test_held_out_prompts_are_told_from_those_that_were_seen() -> None:
    problem = tiny_problem()
    other = Problem.make(problem.model, split_as(tiny_batch(seed=5), ()), metric="logit_diff")
    evidence = evaluate(small_circuit(), other, DICTIONARIES, seen=problem.batch, n_sets=1)
    assert evidence.n_seen == 0
    assert "4 held-out prompts" in evidence.summary()
    assert evaluate(small_circuit(), other, DICTIONARIES, n_sets=1).n_seen is None
    single = Problem.make(tiny_model("gpt2", dtype=torch.float32), tiny_batch(seed=5), metric="logit_diff")
    rounded = evaluate(small_circuit(), single, DICTIONARIES, seen=problem.batch, n_sets=1)
    for who, interval in evidence.intervals["logit_diff"].items():
        assert rounded.intervals["logit_diff"][who].value == pytest.approx(interval.value, abs=1e-4)
    assert set(evidence.frame()["who"]) >= {"model", "circuit", "complement", "corrupted"}
