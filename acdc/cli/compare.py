"""`acdc compare`: two or more runs or circuits held against each other."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.convert import circuit_at
from acdc.cli.terminal import Debug, Json, dump, hush, say, show_warnings, table
from acdc.errors import CircuitError, RunError, unknown_name

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit
    from acdc.circuits.comparison import Comparison
    from acdc.circuits.graph import Graph
    from acdc.runs.result import RunResult

__all__ = ["compare"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Given:
    """What a word of the command names: a circuit, and the run that it is of, if it is of one.

    Attributes:
        path: Where it is, or the name of a published reference.
    """

    path: Path
    circuit: "Circuit"
    run: "RunResult | None"

    @property
    def told(self) -> Mapping[str, Any]:
        """Method, task and so on, as far as they are known."""
        return {} if self.run is None else {**self.run.arguments, **self.run.arguments.get("options", {})}


@app.command()
def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN RUN...", help="Runs, files of circuits in any format, or published references, like ioi-wang."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="The one that the others are to recover: its path, its name in the tables, or a published one."
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(help="Measure all on the same prompts: those of a run, or a task with the first run's settings."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model for --on, where no run tells it.")] = None,
    trust_task: Annotated[
        bool,
        typer.Option("--trust-task", help="Run the code of the task of --on's run, where that is a file or module."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for compare.json, compare.csv and compare.svg.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what circuits share: edges, nodes, ranks of scores, recovery of a reference, faithfulness."""
    from acdc.circuits.comparison import compare_circuits

    show_warnings()
    words = list(runs or [])
    target = None if reference is None else Path(reference)
    if target is not None and (target.exists() or _is_reference(target)) and not _same_place(target, words):
        words.append(target)
    if len(words) < 2 and reference is None:
        raise RunError(f"comparing needs two runs or circuits or more, not {len(words)}: acdc compare RUN RUN")
    given = _read(words)
    named = _named(given)
    chosen = _reference(reference, named)
    if len(named) < 2:
        raise RunError(f"comparing needs two runs or circuits or more, and {reference!r} is the only one")
    comparison = compare_circuits({name: one.circuit for name, one in named.items()}, reference=chosen)
    own = {name: one.run.metrics for name, one in named.items() if one.run is not None}
    measured = {} if on is None else _measure(named, on, model, trust_task)
    result = {
        **comparison.to_dict(),
        "paths": {name: str(one.path) for name, one in named.items()},
        "metrics": own,
        "measured_on": on,
        "measured": measured,
    }
    files = [] if out is None else _write(out, comparison, result)
    if as_json:
        dump(result | {"files": [str(file) for file in files]})
        return
    _tell(comparison, own, measured, on)
    for file in files:
        say(f"  {file}")


def _is_reference(word: Path) -> bool:
    """Whether a word names a published reference; a path that is there goes first."""
    from acdc.circuits.published import REFERENCES

    return str(word) in REFERENCES and not word.exists()


def _same_place(word: Path, others: list[Path]) -> bool:
    if not word.exists():
        return word in others
    return any(other.exists() and word.resolve() == other.resolve() for other in others)


def _read(words: list[Path]) -> list[_Given]:
    """The circuits; files and references that don't say their model's shape have that of the first one that does."""
    from acdc.circuits.formats import ShapelessError
    from acdc.circuits.published import GPT2_SMALL

    if twice := next((word for n, word in enumerate(words) if _same_place(word, words[:n])), None):
        raise RunError(f"{str(twice)!r} is given twice")
    for word in words:
        if not word.exists() and not _is_reference(word):
            raise unknown_name("run, circuit file or published reference", str(word), _near(word))
    given = dict[Path, _Given]()
    for word in words:
        with suppress(ShapelessError):
            given |= {} if _is_reference(word) else {word: _given(word, None)}
    graph = next((one.circuit.graph for one in given.values()), None)
    if graph is None and not any(map(_is_reference, words)):
        raise RunError("none of these says the model's shape; give a run or a circuit of the same model with them")
    return [given.get(word) or _given(word, graph or GPT2_SMALL) for word in words]


def _given(word: Path, graph: "Graph | None") -> _Given:
    """What a word names.

    Raises:
        ShapelessError: It needs a graph, and none is given.
    """
    from acdc.circuits.published import get_reference
    from acdc.runs.result import find_run, load_run

    if graph is not None and _is_reference(word):
        return _Given(word, get_reference(str(word)).circuit(graph), None)
    if word.is_dir():
        run = load_run(find_run(word))
        return _Given(word, run.circuit, run)
    return _Given(word, circuit_at(word, graph=graph), None)


def _near(word: Path) -> list[str]:
    """What might have been meant: the published references, and what lies beside the path that isn't there."""
    from acdc.circuits.published import REFERENCES

    try:
        beside = sorted(str(path) for path in word.parent.iterdir() if not path.name.startswith("."))
    except OSError:
        beside = []
    return [*REFERENCES, *get_close_matches(str(word), beside, n=5)]


def _named(given: list[_Given]) -> dict[str, _Given]:
    """Short names that differ: the method; with its tau; with the task; the file's name; at last the path."""
    ways: list[Callable[[_Given], str]] = [
        lambda one: str(one.told.get("method", one.path.stem)),
        lambda one: _with_tau(one, ""),
        lambda one: _with_tau(one, f"{one.told.get('task_name', '')} "),
        lambda one: one.path.name,
        lambda one: f"{one.path.parent.name}/{one.path.name}",
    ]
    for way in ways:
        names = [way(one).strip() for one in given]
        if len(set(names)) == len(names) and all(names):
            return dict(zip(names, given, strict=True))
    return {str(one.path): one for one in given}


def _with_tau(one: _Given, before: str) -> str:
    if "method" not in one.told:
        return one.path.stem
    given = one.told.get("tau")
    tau = f" tau={given:g}" if isinstance(given, int | float) else f" tau={given}" if isinstance(given, str) else ""
    return f"{before}{one.told['method']}{tau}"


def _reference(word: str | None, named: Mapping[str, _Given]) -> str | None:
    """The name of the circuit that `--reference` means: its name in the tables, its path, or a published reference.

    Raises:
        UnknownNameError: It is none of these.
    """
    from acdc.circuits.published import REFERENCES

    if word is None or word in named:
        return word
    found = next((name for name, one in named.items() if _same_place(Path(word), [one.path])), None)
    if found is None:
        raise unknown_name("reference", word, [*named, *REFERENCES])
    return found


def _measure(named: Mapping[str, _Given], on: str, model: str | None, trust_task: bool) -> dict[str, dict[str, Any]]:
    """Every circuit's metrics on the same prompts, in a model that is loaded once."""
    from acdc.evaluation import measure
    from acdc.patching.problem import Problem
    from acdc.runs.arguments import Plan, load_model

    arguments = _arguments(named, on, model, trust_task)
    loading = {"dtype": arguments.get("dtype", "float32"), "device": arguments.get("device", "cpu")}
    plan = Plan.make(
        arguments.get("model"),
        arguments["task"],
        method="acdc",
        metric=arguments.get("metric"),
        ablation=arguments.get("ablation", "corrupt"),
        n=arguments.get("n", 50),
        seed=arguments.get("seed", 0),
        # code that comes with a model runs only in a discovery that was told to let it
        loading={**loading, "revision": arguments.get("revision"), "trust_remote_code": False},
        task_options=arguments.get("task_options", {}),
        options={},
        bos=arguments.get("bos"),
    )
    hush()
    patchable = load_model(plan)
    graph = next(iter(named.values())).circuit.graph
    if patchable.graph != graph:
        raise CircuitError(f"the circuits are of {graph.shape}, but {plan.model_name} has {patchable.graph.shape}")
    batch = plan.task.batch(patchable.tokenizer, plan.n, plan.seed, bos=plan.bos)
    problem = Problem.make(patchable, batch, metric=plan.metric, ablation=plan.ablation, seed=plan.seed)
    if arguments.get("prompts_sha256") not in (None, batch.fingerprint):
        logger.warning("the prompts of %s could not be made again: the task or the tokenizer is another now", on)
    return {name: measure(problem, one.circuit.mask) for name, one in named.items()}


def _arguments(named: Mapping[str, _Given], on: str, model: str | None, trust_task: bool) -> dict[str, Any]:
    """The arguments of the run `on`, or those of the first compared run with the task `on`."""
    from acdc.runs.places import check_recorded_task
    from acdc.runs.prompt_file import PROMPTS, read_prompts
    from acdc.runs.result import find_run, load_run

    named_model: dict[str, Any] = {} if model is None else {"model": model}
    if Path(on).is_dir():
        run = load_run(find_run(on))
        if run.arguments["task"] == PROMPTS and run.path is not None:  # a list of prompts, which the run has kept
            named_model["task"] = read_prompts(run.path / PROMPTS, run.arguments["task_name"])
        else:
            named_model["task"] = check_recorded_task(run.arguments["task"], trusted=trust_task)
        return {**run.arguments, **named_model, "prompts_sha256": run.record.get("prompts_sha256")}
    first = next((one.run.arguments for one in named.values() if one.run is not None), {})
    same_task = on in (first.get("task"), first.get("task_name"))
    settings = {key: first[key] for key in ("model", "ablation", "n", "seed", "dtype", "device", "revision") if first}
    own = {key: first[key] for key in ("metric", "task_options")} if same_task else {}
    return {**settings, **own, **named_model, "task": on}


def _write(folder: Path, comparison: "Comparison", result: Mapping[str, Any]) -> list[Path]:
    from acdc.drawing import draw_comparison
    from acdc.files import write_atomically, write_json
    from acdc.runs.folders import check_writable

    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_json(folder / "compare.json", result)]
    files.append(write_atomically(folder / "compare.csv", comparison.to_frame().to_csv(index=False).encode()))
    return files + draw_comparison(comparison.circuits, folder / "compare.svg")


def _tell(
    comparison: "Comparison", own: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]], on: str | None
) -> None:
    """The comparison in tables; the first one numbers the circuits, so that the others stay narrow."""
    numbers = {name: str(n) for n, name in enumerate(comparison.circuits, 1)}
    table(
        ["", "circuit", "edges", "nodes", "faithfulness", "by", "KL", "accuracy", "prompts"],
        [
            [numbers[name], name, f"{circuit.n_edges:,}", f"{len(circuit.nodes):,}", *_quality(own.get(name))]
            for name, circuit in comparison.circuits.items()
        ],
    )
    if measured:
        say(f"\nAll on the prompts of {on}:")
        table(
            ["", "faithfulness", "by", "KL", "accuracy", "prompts"],
            [[numbers[name], *_quality(metrics)] for name, metrics in measured.items()],
        )
        for warning in dict.fromkeys(text for metrics in measured.values() for text in metrics["warnings"]):
            say(f"warning: {warning}")
    union, core = int((comparison.core | comparison.optional).sum()), int(comparison.core.sum())
    say(f"\nEdges: {core:,} in all, {union - core:,} in some, of {comparison.graph.n_edges:,}")
    table(
        ["", "shared", "1st", "2nd", "Jaccard", "overlap", "nodes", "Spearman", "Kendall", "scored"],
        [
            [f"{numbers[pair.a]}-{numbers[pair.b]}", f"{pair.n_shared:,}", f"{pair.n_only_a:,}", f"{pair.n_only_b:,}"]
            + [_number(value) for value in (pair.jaccard, pair.overlap, pair.node_jaccard)]
            + [_number(pair.spearman), _number(pair.kendall), f"{pair.n_scored:,}"]
            for pair in comparison.pairs
        ],
    )
    say("1st, 2nd: edges that only this one keeps; nodes: Jaccard of nodes; scored: edges that both measured")
    if comparison.reference is not None:
        say(f"\nRecovery of {numbers[comparison.reference]} ({comparison.reference}):")
        table(
            ["", "found", "false", "missed", "precision", "recall", "ROC AUC", "by size", "node prec.", "rec."],
            [
                [numbers[one.name], f"{one.true_positives:,}", f"{one.false_positives:,}", f"{one.false_negatives:,}"]
                + [_number(value) for value in (one.precision, one.recall, one.roc_auc, one.roc_auc_absolute)]
                + [_number(one.node_precision), _number(one.node_recall)]
                for one in comparison.recovery
            ],
        )


def _quality(metrics: Mapping[str, Any] | None) -> list[str]:
    from acdc.evaluation.meaning import shown_ratio

    if metrics is None:
        return [""] * 5
    kl, accuracy = metrics["kl"]["circuit"], metrics["accuracy"]["circuit"]
    return [
        shown_ratio(metrics["faithfulness"], metrics["no_meaning"], why=False),
        metrics["metric"],
        _number(kl),
        _number(accuracy),
        str(metrics["n_prompts"]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
