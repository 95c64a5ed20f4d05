"""`acdc convert`: circuits from one file format into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, dump, say, show_warnings, table
from acdc.errors import RunError

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit
    from acdc.circuits.graph import Graph

__all__ = ["circuit_at", "convert"]


@app.command()
def convert(
    source: Annotated[Path | None, typer.Argument(metavar="IN", help="A circuit in any format, or a run.")] = None,
    target: Annotated[Path | None, typer.Argument(metavar="OUT", help="The file to write.")] = None,
    to: Annotated[str | None, typer.Option(help="The format to write. [default: by OUT's name]")] = None,
    origin: Annotated[str | None, typer.Option("--from", help="The format to read. [default: by IN's content]")] = None,
    graph: Annotated[
        Path | None, typer.Option(help="A circuit or run of the same model, for files that don't say its shape.")
    ] = None,
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what a format can't carry.")] = False,
    flip_scores: Annotated[bool, typer.Option("--flip-scores", help="Reverse the sign of every score.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the circuit IN as OUT, in another format; without loss, unless --lossy allows it."""
    from acdc.circuits.formats import FORMATS, write_circuit

    show_warnings()
    if formats:
        _list(as_json)
        return
    if source is None or target is None:
        raise RunError("name the circuit to read and the file to write: acdc convert IN OUT (--formats lists formats)")
    if to is not None:
        FORMATS.find(to)
    circuit = circuit_at(source, origin=origin, graph=None if graph is None else circuit_at(graph).graph, lossy=lossy)
    circuit = circuit.flip_scores() if flip_scores else circuit
    written = write_circuit(circuit, target, format=to, lossy=lossy)
    if as_json:
        dump({"written": str(written), "n_edges": circuit.n_edges, "n_edges_of_model": circuit.graph.n_edges})
    else:
        say(f"{written}: {circuit!r}")


def circuit_at(
    path: Path, *, origin: str | None = None, graph: "Graph | None" = None, lossy: bool = False
) -> "Circuit":
    """The circuit of a file in any format, or of a run."""
    from acdc.circuits.formats import read_circuit
    from acdc.runs.catalog import find_run
    from acdc.runs.folders import CIRCUIT

    place = find_run(path) / CIRCUIT if path.is_dir() else path
    return read_circuit(place, format=origin, graph=graph, lossy=lossy)


def _list(as_json: bool) -> None:
    from acdc.circuits.formats import FORMATS

    rows = [
        {"name": entry.name, "suffix": entry.suffix, "carries": entry.carries, "what": entry.summary}
        for entry in FORMATS.values()
    ]
    if as_json:
        dump(rows)
    else:
        table(["name", "suffix", "carries", "what"], [list(row.values()) for row in rows])
