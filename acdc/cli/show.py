"""`acdc show`: a saved run again, as numbers and, where asked, as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from acdc.cli.app import app
from acdc.cli.convert import circuit_at
from acdc.cli.terminal import Debug, Json, dump, say, show_warnings, table

__all__ = ["show"]

STRONGEST = 15  # edges in the table


@app.command()
def show(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run's folder, a circuit in any format, or a folder with runs: the newest."
        ),
    ],
    draw: Annotated[Path | None, typer.Option(help="Draw it into this file: .svg, .png, .pdf or .dot.")] = None,
    edges: Annotated[int, typer.Option(min=0, help="How many of the strongest edges to list.")] = STRONGEST,
    graph: Annotated[
        Path | None, typer.Option(help="A circuit or run of the same model, for files that don't say its shape.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print a run's numbers and its strongest edges; nothing is written but the picture that --draw asks for."""
    from acdc import drawing
    from acdc.circuits.ranking import strongest
    from acdc.circuits.score_kinds import words_of
    from acdc.runs.catalog import find_runs
    from acdc.runs.result import load_run

    show_warnings()
    shape = None if graph is None else circuit_at(graph).graph
    places = [] if run.is_file() else find_runs(run)
    result = load_run(places[0]) if places else None
    circuit = circuit_at(run, graph=shape) if result is None else result.circuit
    drawn = [] if draw is None else drawing.draw(circuit, draw, roles=_roles(places[0] if places else None))
    if as_json:
        found = {"nodes": list(circuit.nodes), "edges": list(circuit.edges)} if result is None else result.to_dict()
        dump(found | {"drawn": [str(path) for path in drawn]})
        return
    if places:
        say(f"{places[0]}{f' (the newest of {len(places)} runs)' if len(places) > 1 else ''}")
    say(repr(circuit) if result is None else f"{result.summary()}\n{result.predictions()}")
    listed = strongest(circuit.graph, circuit.mask, circuit.scores, edges)
    table(["edge", words_of(circuit.score_kind).label], [[edge, f"{score:.4g}"] for edge, score in listed])
    for path in (*(() if result is None else result.files), *drawn):
        say(f"  {path}")


def _roles(run: Path | None) -> dict[str, tuple[str, ...]]:
    """The roles that a run's explanation gives its nodes, where it was explained."""
    from acdc.drawing import roles_of
    from acdc.runs.explained import EXPLANATION, load_explanation

    return {} if run is None or not (run / EXPLANATION).exists() else roles_of(load_explanation(run / EXPLANATION))
