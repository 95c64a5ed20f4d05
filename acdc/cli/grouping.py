"""`acdc group`: nodes of a feature circuit or an attribution graph under one name."""

from pathlib import Path
from typing import Annotated

import typer

from acdc.cli.app import app
from acdc.cli.terminal import Debug, Json, Quiet, dump, hush, say, table
from acdc.options.defaults import OUT

__all__ = ["Alike", "group"]

Alike = Annotated[
    float,
    typer.Option(help="Features whose mean similarity is at least this are a group of the page; 1: only equal ones."),
]


@app.command()
def group(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A feature_circuit.json, an attribution graph's file, or its folder."),
    ],
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NODE,NODE", help="A group, or a file of groups (a page's); may be given again."),
    ] = None,
    without: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take this group apart.")] = None,
    only: Annotated[bool, typer.Option("--only", help="Keep none of the groups that the file has.")] = False,
    dictionary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DICT",
            help="The nodes' dictionary, for what was read of them; may be repeated. [default: those that FILE names]",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Below which `acdc features` kept what it read.")] = Path(OUT),
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Save groups of nodes in FILE, each drawn as one node, and write its page and picture again; without any option,
    those of the file as it is.

    acdc group feature_circuit.json --group "names=resid_post.1/3,resid_post.1/17"
    """
    hush()
    from acdc.runs.features.grouping import group_nodes, groups_in

    found = group_nodes(
        file,
        groups_in(group or ()),
        without=without or (),
        only=only,
        dictionaries=dictionary,
        out=out,
    )
    files = [str(path) for path in found.files]
    if as_json:
        dump({"supernodes": [list(each) for each in found.supernodes], "files": files})
        return
    if not quiet:
        table(["group", "nodes"], [[name, ", ".join(nodes)] for name, *nodes in found.supernodes])
    for path in files:
        say(f"  {path}")
