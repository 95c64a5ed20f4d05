"""The benchmark runs whatever methods there are, ranks them right, keeps its results and gives them again."""

import json

import pytest
import torch

from acdc import discovery
from acdc.benchmarking import bench, benchmark, contestants, known_circuits, known_models, ranking
from acdc.benchmarking.ranking import rank
from acdc.circuits.circuit import Circuit
from acdc.circuits.comparison import compare_circuits
from acdc.cli import benchmark as cli
from acdc.discovery import METHODS, DiscoveryResult, Method, default_metric
from acdc.discovery.acdc import acdc
from acdc.errors import ACDCError, RunError, UnknownNameError
from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.registry import Registry
from acdc.task import load_task

MODEL = "frac-prevs-compiled"


def knock_out(problem, *, checkpoint=None, progress=None, sign: float = 1.0) -> DiscoveryResult:
    """A method that ranks by exact effects: all that the benchmark needs of a method without a threshold."""
    graph, state = problem.model.graph, CircuitState(problem)
    rows = [tuple(edge) for edge in graph.edges_mask.nonzero().tolist()]
    scores = torch.full(graph.edges_mask.shape, torch.nan, dtype=torch.float64)
    scores[graph.edges_mask] = sign * (state.losses(rows) - state.loss)
    cost = {"forward_passes": len(rows), "backward_passes": 2}
    return DiscoveryResult(
        mask=(scores.abs() > 1).logical_and(graph.edges_mask), scores=scores, score_kind="importance", cost=cost
    )


def unable(problem, *, checkpoint=None, progress=None) -> DiscoveryResult:
    raise RunError("this method can't work here")


def register(monkeypatch: pytest.MonkeyPatch, methods: dict[str, Method]) -> None:
    """Have just these methods."""
    for place in (contestants, discovery):
        monkeypatch.setattr(place, "METHODS", Registry("method", methods))


@pytest.fixture
def methods(monkeypatch):
    """The registry, with three methods of the test's own."""
    calls: list[str] = []

    def counted(problem, *, checkpoint=None, progress=None) -> DiscoveryResult:
        calls.append("counted")
        return knock_out(problem)

    own = [
        Method("acdc", "", "", acdc, threshold="tau"),
        Method("counted", "", "", counted),
        Method("wrong-sign", "", "", lambda problem, *, checkpoint=None, progress=None: knock_out(problem, sign=-1)),
        Method("unable", "", "", unable),
    ]
    register(monkeypatch, {method.name: method for method in own})
    monkeypatch.setattr(ranking, "THRESHOLDS", (0.001, 0.1, 50.0))
    return calls


def run(out=None, **options):
    return {row["method"]: row for row in benchmark([MODEL], n=8, out=out, **options)}


def test_every_known_model_is_found_and_gpt2_only_when_named() -> None:
    names = [known.model for known in known_circuits()]
    assert {"induction-compiled", "reverse-compiled", MODEL, "brackets-compiled"} <= set(names)
    assert "gpt2" not in names
    assert "gpt2" in known_models()
    references = {known.reference: known.task for known in known_circuits(["gpt2"])}
    assert references["ioi-wang"] == "ioi"
    assert len(references) == 3


def test_rows_say_how_well_each_method_recovers_the_circuit(methods) -> None:
    rows = run()
    assert set(rows) == {"acdc", "counted", "wrong-sign", "unable"}
    for name in ("acdc", "counted"):
        assert rows[name]["auc"] == 1
        assert (rows[name]["own"]["precision"], rows[name]["own"]["recall"]) == (1, 1)
        assert rows[name]["at_true_size"]["node_recall"] == 1
    assert rows["counted"]["cost"] == {"forward_passes": 110, "backward_passes": 2}
    assert rows["unable"]["error"] == "this method can't work here"
    assert rows["acdc"]["ranking_cost"]["forward_passes"] > rows["acdc"]["cost"]["forward_passes"]


def half_measured(problem, *, checkpoint=None, progress=None) -> DiscoveryResult:
    """Effects of every other edge only; of the others, some are kept and some are not."""
    found = knock_out(problem)
    scores, rows = found.scores.clone(), problem.model.graph.edges_mask.nonzero()[::2]
    scores[rows[:, 0], rows[:, 1]] = torch.nan
    mask = torch.zeros_like(found.mask)
    mask[rows[::3, 0], rows[::3, 1]] = True
    return DiscoveryResult(mask, scores, "effect", {})


def test_compare_finds_the_area_that_the_benchmark_finds(methods, monkeypatch, tmp_path) -> None:
    """Also where edges weren't measured, of which a circuit keeps some."""
    partly = Method("partly", "", "", half_measured)
    register(monkeypatch, {"partly": partly, **contestants.METHODS})
    rows = run(tmp_path, methods=["partly", "counted", "acdc"])
    (known,) = known_circuits([MODEL])
    for name, row in rows.items():
        (path,) = tmp_path.rglob(f"{name}/circuit.json")
        circuit = Circuit.load(path)
        truth = known.circuit(circuit.graph)
        assert bool(circuit.scores[circuit.graph.edges_mask].isnan().any()) == (name == "partly")
        (recovery,) = compare_circuits({name: circuit, "truth": truth}, reference="truth").recovery
        assert recovery.roc_auc == row["auc"]
    assert 0 < rows["partly"]["auc"] < 1


def test_a_method_gets_the_metric_that_discover_would_give_it(monkeypatch) -> None:
    """A third party's task names its own metric for methods that take gradients at the clean run."""

    class Theirs(type(load_task("frac-prevs"))):
        gradient_metric = "prob_diff"

    eap = Method("eap", "", "", knock_out, at_clean=True)
    monkeypatch.setattr(bench, "load_task", lambda name, **options: Theirs())
    register(monkeypatch, {"eap": eap})
    assert default_metric(Theirs(), eap) == "prob_diff"
    assert run(methods=["eap"])["eap"]["metric"] == "prob_diff"


def test_signed_ranks_put_negative_scores_last(methods) -> None:
    assert run(methods=["wrong-sign"])["wrong-sign"]["auc"] == 1
    assert run(methods=["wrong-sign"], signed=True)["wrong-sign"]["auc"] == 0


def test_a_method_with_a_threshold_ranks_by_the_largest_one_that_keeps_an_edge(methods) -> None:
    taus = ranking.THRESHOLDS
    model = PatchableModel.from_pretrained(MODEL)
    problem = Problem.make(model, load_task("frac-prevs").batch(model.tokenizer, 6, 0))
    values = rank(METHODS["acdc"], problem).values
    assert set(values.flatten().tolist()) <= {0.0, *taus}
    for tau in taus:
        kept = acdc(problem, tau=tau).mask
        assert bool((values[kept] >= tau).all())


def test_results_are_kept_and_given_again(methods, tmp_path) -> None:
    first = run(tmp_path, methods=["counted", "unable"])
    again = run(tmp_path, methods=["counted", "unable"])
    assert first == again, "times included: it is the kept result"
    assert methods == ["counted"]
    run(tmp_path, methods=["counted"], seed=1)
    assert methods == ["counted"] * 2, "other prompts"
    run(tmp_path, methods=["counted"], seed=1, resume=False)
    assert methods == ["counted"] * 3
    for path in tmp_path.rglob("result.json"):
        path.write_text("{")
    run(tmp_path, methods=["counted"], seed=1)
    assert methods == ["counted"] * 4, "a damaged result is made again"
    assert json.loads((tmp_path / "benchmark.json").read_text())[0]["auc"] == 1
    assert "own_precision" in (tmp_path / "benchmark.csv").read_text().splitlines()[0]


def test_two_runs_agree_in_all_but_time(methods) -> None:
    def timeless(rows):
        return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows.values()]

    chosen = ["acdc", "counted"]
    assert timeless(run(methods=chosen)) == timeless(run(methods=chosen))


@pytest.mark.parametrize(
    ("models", "chosen", "message"),
    [(["frac-prev-compiled"], None, f"did you mean '{MODEL}'"), (None, ["akdc"], "did you mean 'acdc'")],
)
def test_names_that_nobody_has_are_told_before_any_work(models, chosen, message) -> None:
    with pytest.raises(UnknownNameError, match=message):
        benchmark(models, chosen, out=None)


@pytest.mark.parametrize("options", [{"n": 0}, {"seed": -1}, {"n": True}])
def test_numbers_out_of_range_are_refused(options) -> None:
    with pytest.raises(RunError, match="must be a whole number"):
        benchmark([MODEL], out=None, **options)


def test_a_model_out_of_reach_is_told_of_and_left_out(monkeypatch, caplog) -> None:
    from acdc.errors import ModelError

    def unreachable(name: str) -> None:
        raise ModelError("no way to the hub")

    monkeypatch.setattr(bench, "check_reachable", unreachable)
    monkeypatch.setattr(PatchableModel, "from_pretrained", None)
    assert benchmark(["gpt2"], out=None) == []
    assert "gpt2 ioi-wang is left out: no way to the hub" in caplog.text


def test_the_tables_fit_a_terminal(methods, capsys) -> None:
    rows = list(run(methods=["counted", "unable"]).values())
    cli._print_tables(rows)
    printed = capsys.readouterr().out
    assert f"{MODEL}: 4 of 110 edges, known by construction" in printed
    assert "1.00/1.00" in printed
    assert "110f 2b" in printed
    assert "unable: this method can't work here" in printed
    assert max(map(len, printed.splitlines())) <= 100
    cli._print_markdown(rows)
    lines = capsys.readouterr().out.splitlines()
    assert f"| {MODEL} | counted | 1.00 |" in lines[2]
    assert len({line.count("|") for line in lines}) == 1


# -- methods with options


def test_variants_are_rows_and_options_may_be_given(monkeypatch, tmp_path) -> None:
    def signed(problem, *, checkpoint=None, progress=None, sign: float = 1.0) -> DiscoveryResult:
        return knock_out(problem, sign=sign)

    register(monkeypatch, {"signed": Method("signed", "", "", signed, variants=({"sign": -1.0},))})
    rows = run(tmp_path, signed=True)
    assert list(rows) == ["signed", "signed sign=-1.0"]
    assert (rows["signed"]["auc"], rows["signed sign=-1.0"]["auc"]) == (1, 0)
    again = run(tmp_path, signed=True, methods=["signed sign=-1", "signed sign=1"])
    assert again == {"signed sign=-1.0": rows["signed sign=-1.0"], "signed": rows["signed"]}, "defaults aren't named"


def test_a_threshold_s_grid_keeps_the_other_options() -> None:
    model = PatchableModel.from_pretrained(MODEL)
    problem = Problem.make(model, load_task("frac-prevs").batch(model.tokenizer, 6, 0))
    told: list[dict[str, object]] = []

    def search(problem, *, checkpoint=None, progress=None, tau: float = 0.1, absolute: bool = False) -> DiscoveryResult:
        told.append({"tau": tau, "absolute": absolute})
        return knock_out(problem)

    rank(Method("thresholded", "", "", search, threshold="tau"), problem, options={"absolute": True})
    assert [each["tau"] for each in told] == [0.1, *ranking.THRESHOLDS]
    assert all(each["absolute"] for each in told)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eap rule=gim", "did you mean 'rules'"),
        ("eap rules=gmi", "did you mean 'gim'"),
        ("eap gim", "must be a method and options, like 'eap rules=gim'"),
        ("eap rules=gim rules=relp", "each given once"),
        ("eap-ig-inputs steps=0", "steps must be a whole number"),
    ],
)
def test_options_that_make_no_sense_are_told_before_any_work(name: str, message: str) -> None:
    with pytest.raises(ACDCError, match=message):
        benchmark([MODEL], [name], out=None)


def test_every_variant_that_is_declared_has_other_options_than_the_defaults() -> None:
    declared = [one for one in contestants.contestants(None) if one.given]
    assert {"eap rules=gim", "eap rules=relp", "eap rules=attnrlp", "nap rules=gim"} <= {one.name for one in declared}
    for one in declared:
        assert contestants.contestants([one.name])[0].options == one.options
        assert one.options != contestants.Contestant(one.method, {}).options


# -- split by span, and by denoising


def by_spans(models: list[str], method: str, **options) -> list[dict[str, object]]:
    return benchmark(models, [method], n=8, out=None, positions="spans", **options)


def test_edges_split_by_span_are_held_against_the_known_circuit_s(caplog) -> None:
    (row,) = by_spans([MODEL, "gpt2"], "acdc tau=0.05")
    (known,) = known_circuits([MODEL])
    whole = known.circuit(PatchableModel.from_pretrained(MODEL).graph)
    assert (row["n_edges"], row["n_true"]) == (2 * whole.graph.n_edges - 11, 6), (
        "letters and end; logits at the end alone"
    )
    assert (row["auc"], row["own"]["precision"], row["own"]["recall"]) == (1, 1, 1)
    assert (row["own"]["node_precision"], row["own"]["node_recall"]) == (1, 1)
    assert "gpt2 ioi-wang is left out: its circuit is known by whole edges alone" in caplog.text


def test_by_denoising_both_paths_of_an_or_are_found(tmp_path, capsys) -> None:
    asked = {"n": 8, "metric": "logit_diff", "out": tmp_path}
    (noised,) = benchmark(["either-compiled"], ["acdc tau=0.5"], **asked)
    denoised, unable = benchmark(["either-compiled"], ["acdc tau=0.5", "hisp"], direction="denoising", **asked)
    assert "'hisp' can't look for a circuit by denoising" in unable["error"]
    circuits = {path.parts[-4]: Circuit.load(path) for path in tmp_path.rglob("circuit.json")}
    found = {where: {"a1.h0", "a1.h2"}.intersection(circuit.nodes) for where, circuit in circuits.items()}
    assert found == {"either": found["either"], "either-denoising": {"a1.h0", "a1.h2"}} and len(found["either"]) == 1
    assert benchmark(["either-compiled"], ["acdc tau=0.5"], **asked) == [noised]
    cli._print_tables([denoised])
    assert "edges, known by construction; by denoising" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"positions": "each"}, RunError, "positions must be 'all' or 'spans', not 'each'"),
        ({"positions": "span"}, UnknownNameError, "did you mean 'spans'"),
        ({"direction": "denoise"}, UnknownNameError, "did you mean 'denoising'"),
    ],
)
def test_ways_that_no_truth_is_known_for_are_refused(options, error, message) -> None:
    with pytest.raises(error, match=message):
        benchmark([MODEL], out=None, **options)
