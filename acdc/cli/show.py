"""`acdc show`: a saved run again, as numbers and as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, dump, show_warnings, table

if TYPE_CHECKING:
    from acdc.circuit import Circuit

__all__ = ["show"]

STRONGEST = 15  # edges in the table


@app.command()
def show(
    run: Annotated[Path, typer.Argument(help="A run's folder, a circuit.json, or a folder with runs: the newest.")],
    draw: Annotated[
        Path | None, typer.Option(help="Where to draw it: .svg, .png, .pdf or .dot. [default: circuit.svg in the run]")
    ] = None,
    edges: Annotated[int, typer.Option(min=0, help="How many of the strongest edges to list.")] = STRONGEST,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print a run's numbers and its strongest edges, and draw its circuit again."""
    from acdc.circuit import Circuit
    from acdc.result import find_run, load_run

    show_warnings()
    if run.is_file():
        circuit, folder, result = Circuit.load(run), run.parent, None
    else:
        folder = find_run(run)
        result = load_run(folder)
        circuit = result.circuit
    drawn = circuit.draw(draw or folder / "circuit.svg")
    if as_json:
        found = {"nodes": list(circuit.nodes), "edges": list(circuit.edges)} if result is None else result.to_dict()
        dump(found | {"drawn": [str(path) for path in drawn]})
        return
    typer.echo(repr(circuit) if result is None else f"{result.summary()}\n{result.predictions()}")
    table(["edge", "score"], _strongest(circuit, edges))
    for path in drawn:
        typer.echo(f"  {path}")


def _strongest(circuit: "Circuit", n: int) -> list[list[str]]:
    """The kept edges with the largest effects, and these."""
    frame = circuit.to_frame()
    kept = frame[frame["kept"]].sort_values("score", key=abs, ascending=False, na_position="last").head(n)
    return [[edge, f"{score:.4g}"] for edge, score in zip(kept["edge"], kept["score"], strict=True)]
