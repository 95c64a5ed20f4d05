"""`acdc compare`: two or more runs or circuits held against each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, dump, hush, say, show_warnings, table

if TYPE_CHECKING:
    from acdc.circuits.comparison import Comparison

__all__ = ["compare"]


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
    from acdc.runs.compare import measure_all, read_all, reference_among

    show_warnings()
    compared = read_all([str(run) for run in runs or ()], reference)
    chosen = None if reference is None else reference_among(compared, reference)
    comparison = compare_circuits({name: one.circuit for name, one in compared.items()}, reference=chosen)
    own = {name: one.run.metrics for name, one in compared.items() if one.run is not None}
    measured: dict[str, dict[str, Any]] = {}
    if on is not None:
        hush()
        measured = measure_all(compared, on, model=model, trust_task=trust_task)
    result = {
        **comparison.to_dict(),
        "paths": {name: str(one.path) for name, one in compared.items()},
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


def _write(folder: Path, comparison: "Comparison", result: Mapping[str, Any]) -> list[Path]:
    from acdc.drawing import draw_comparison
    from acdc.files import write_csv, write_json
    from acdc.runs.folders import check_writable

    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_json(folder / "compare.json", result), write_csv(folder / "compare.csv", comparison.to_frame())]
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
