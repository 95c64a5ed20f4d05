"""`acdc benchmark`: how well methods recover circuits that are known."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, Quiet, dump, hush, say, table
from acdc.errors import RunError, printable
from acdc.options.defaults import DIRECTION, N_PROMPTS, OUT, POSITIONS, SEED

__all__ = ["benchmark"]

COLUMNS = ("AUC", "kept", "edges P/R", "nodes P/R", "top P", "passes", "seconds")
LEGEND = """AUC: of the ranking of all edges. kept: edges that the method keeps by its defaults, or by the options in
its name; P/R: their precision and recall, and those of its heads and MLPs. top P: precision (= recall) of as many
edges as are true, by rank. passes: forward and backward passes over all prompts, and those of attention alone."""


@app.command()
def benchmark(
    models: Annotated[
        str | None, typer.Option(help="Models with known circuits, separated by commas. [default: all bundled ones]")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, perhaps with options ('eap rules=gim'), separated by commas. [default: all]"),
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Number of prompt pairs.")] = N_PROMPTS,
    seed: Annotated[int, typer.Option(help="Seed of the prompts and of all that is drawn.")] = SEED,
    metric: Annotated[
        str | None, typer.Option(help="kl, logit_diff, prob_diff or nll. [default: the task's, or one with a gradient]")
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Rank by signed scores, not by their size.")] = False,
    positions: Annotated[
        str,
        typer.Option(
            help="all: whole edges; spans: edges split by the spans at which the known circuit's act, without the "
            "circuits that are known by whole edges alone."
        ),
    ] = POSITIONS,
    direction: Annotated[
        str,
        typer.Option(
            help="noising: what the clean run's answer needs; denoising: what brings it back in the corrupted run."
        ),
    ] = DIRECTION,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = Path(OUT, "benchmark"),
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Take results that are there, if they were made the same way.")
    ] = True,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print one Markdown table.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run methods on models whose circuit is known, and print how well they recover it.

    A benchmark that was stopped continues where it was when the same command is given again. `--models gpt2` compares
    with published circuits, which are references, not the truth; the model is loaded from the hub if it isn't here.
    """
    hush()
    from acdc.benchmarking import benchmark as run

    rows = run(
        _names(models, "--models"),
        _names(methods, "--methods"),
        n=n,
        seed=seed,
        metric=metric,
        signed=signed,
        positions=positions,
        direction=direction,
        out=out,
        resume=resume,
        progress=not (quiet or as_json),
    )
    if as_json:
        dump(rows)
    elif markdown:
        _print_markdown(rows)
    elif not quiet:
        _print_tables(rows)
        say(f"{LEGEND}\n{out / 'benchmark.csv'}, benchmark.json")


def _names(words: str | None, option: str) -> list[str] | None:
    """Names joined by commas.

    Raises:
        RunError: There are none.
    """
    if words is None:
        return None
    names = [word.strip() for word in words.split(",") if word.strip()]
    if not names:
        raise RunError(f"{option} takes names joined by commas, not {printable(words, 60)!r}; leave it out for all")
    return names


def _print_tables(rows: list[dict[str, Any]]) -> None:
    """A table for each known circuit; errors below it."""
    for title in dict.fromkeys(map(_title, rows)):
        say(title)
        own = [row for row in rows if _title(row) == title]
        table(["method", *COLUMNS], [[row["method"], *_cells(row)] for row in own])
        for row in own:
            if "error" in row:
                say(f"  {row['method']}: {row['error']}")
        say("")


def _title(row: dict[str, Any]) -> str:
    name = f"{row['model']} against {row['reference']}, a reference" if row["reference"] else row["model"]
    split = "" if row["positions"] == POSITIONS else " split by span"
    by = "" if row["direction"] == DIRECTION else f"; by {row['direction']}"
    return f"{name}: {row['n_true']:,} of {row['n_edges']:,} edges{split}, known by {row['known_by']}{by}"


def _cells(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return ["-"] * len(COLUMNS)
    own, cost = row["own"], row["cost"]
    ways = [way for way in ("forward", "backward", "attention") if cost.get(f"{way}_passes")]
    passes = [f"{cost[f'{way}_passes']:,.0f}{way[0]}" for way in ways]
    return [
        _number(row["auc"]),
        f"{own['n_edges']:,}",
        f"{_number(own['precision'])}/{_number(own['recall'])}",
        f"{_number(own['node_precision'])}/{_number(own['node_recall'])}",
        _number(row["at_true_size"]["precision"]),
        " ".join(passes) or "-",
        f"{row['seconds']:.1f}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _print_markdown(rows: list[dict[str, Any]]) -> None:
    lines = [["model", "method", *COLUMNS], ["---"] * (2 + len(COLUMNS))]
    lines += [[_short(row), row["method"], *_cells(row)] for row in rows]
    say("\n".join(_markdown(cells) for cells in lines))


def _short(row: dict[str, Any]) -> str:
    return f"{row['model']} ({row['reference']})" if row["reference"] else str(row["model"])


def _markdown(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
