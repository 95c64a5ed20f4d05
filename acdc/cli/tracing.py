"""`acdc trace`: what adds what to a prompt's next token."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.circuits.flow import EDGE_SHARE, NODE_SHARE
from acdc.cli.app import app
from acdc.cli.grouping import Alike
from acdc.cli.terminal import (
    Bos,
    Debug,
    Device,
    DeviceMap,
    Dtype,
    Json,
    Memory,
    Offload,
    Quiet,
    Revision,
    TrustRemoteCode,
    aligned,
    dump,
    hush,
    placing,
    say,
)
from acdc.errors import RunError, counted
from acdc.options.defaults import ALIKE, DEVICE, DTYPE, OUT

if TYPE_CHECKING:
    from acdc.features.attribution_graphs import Node
    from acdc.runs.features.attribution_graph import TracedPrompt

__all__ = ["trace"]

NOTE = "A share says where what the logits read comes from, patterns and norms held; it is no intervention."


@app.command()
def trace(
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="A text; left out with --graph.")] = None,
    model: Annotated[str | None, typer.Option(help="A bundled model, a local folder, or a hub name.")] = None,
    dictionary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET", help="A set of transcoders; may be repeated. [default: heads and MLPs are the nodes]"
        ),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Open a graph's JSON, this or another tool's, instead.")
    ] = None,
    nodes: Annotated[
        float | None, typer.Option(help=f"Keep so much of nodes' influence. [default: {NODE_SHARE}]")
    ] = None,
    edges: Annotated[float | None, typer.Option(help=f"And of edges' then. [default: {EDGE_SHARE}]")] = None,
    max_features: Annotated[
        int | None, typer.Option(help="At most so many features, the most influential. [default: 7500]")
    ] = None,
    max_logits: Annotated[int | None, typer.Option(help="At most so many logits. [default: 10]")] = None,
    probability: Annotated[
        float | None, typer.Option(help="Logits until they have so much probability together. [default: 0.95]")
    ] = None,
    constant_mlps: Annotated[
        bool, typer.Option("--constant-mlps", help="Without transcoders: what MLPs write is a constant, an error.")
    ] = False,
    paths: Annotated[int, typer.Option(min=1, help="How many paths to print.")] = 10,
    alike: Alike = ALIKE,
    out: Annotated[
        Path | None, typer.Option(help=f"Where the folder is made. [default: {OUT}; none of --graph]")
    ] = None,
    memory: Memory = None,
    bos: Bos = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw the attribution graph of PROMPT: what each feature, or head and MLP, adds to later ones and to the most
    probable next tokens.

    acdc trace "The capital of Australia is" --model smollm2
    """
    options = {"max_features": max_features, "max_logits": max_logits, "probability": probability, "bos": bos}
    options = {name: value for name, value in options.items() if value is not None}
    pruning = {name: value for name, value in (("nodes", nodes), ("edges", edges)) if value is not None}
    _check(prompt, model, graph, dictionary, constant_mlps, [*options, *pruning, *(["memory"] if memory else [])])
    hush()
    from acdc.runs.features.attribution_graph import open_graph, trace_prompt

    if graph is not None:
        found = open_graph(graph, n_paths=paths, out=out)
    else:
        assert prompt is not None
        loading: dict[str, Any] = {"dtype": dtype, "device": device, "revision": revision}
        loading |= {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code}
        if constant_mlps:
            options["mlps"] = False
        found = trace_prompt(
            model,
            prompt,
            dictionary or (),
            n_paths=paths,
            memory=memory,
            alike=alike,
            out=out or OUT,
            progress=not (quiet or as_json),
            options=options,
            **pruning,
            **loading,
        )
    if as_json:
        dump(found.to_dict() | {"files": [str(path) for path in found.files]})
        return
    if not quiet:
        _tell(found)
    for path in found.files:
        say(f"  {path} ({path.stat().st_size / 1e3:,.0f} kB)")


def _check(
    prompt: str | None,
    model: str | None,
    graph: Path | None,
    dictionary: list[str] | None,
    constant_mlps: bool,
    given: list[str],
) -> None:
    """Refuse what doesn't go together, before anything is loaded.

    Raises:
        RunError: It doesn't.
    """
    if (prompt is None) == (graph is None):
        raise RunError(
            'give a prompt to trace (acdc trace "The capital of Australia is" --model smollm2), or --graph FILE'
        )
    if graph is not None:
        given = [*given, *(["model"] if model else []), *(["dictionary"] if dictionary else [])]
        given += ["constant-mlps"] if constant_mlps else []
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise RunError(f"{flags} can't be used with --graph, whose graph is made already; leave it out")
    elif model is None:
        raise RunError("name the model (--model); acdc models lists the bundled ones")
    if dictionary and constant_mlps:
        raise RunError("--constant-mlps is of graphs without transcoders; leave it or --dictionary out")
    if not dictionary and graph is None and "max_features" in given:
        raise RunError("--max-features is of graphs with transcoders; name a set (--dictionary), or leave it out")


def _tell(found: "TracedPrompt") -> None:
    graph = found.graph
    likely = sorted((n for n in graph.nodes if n.kind == "logit"), key=lambda node: -(node.probability or 0))
    together = sum(node.probability or 0 for node in likely)
    told = "" if len(likely) == 1 else f" (together {together:.0%})"
    say(f"{graph.prompt!r} in {graph.model}: {', '.join(node.label for node in likely)}{told}")
    kept = f"; {counted(len(graph.nodes), 'node')}, {counted(graph.n_edges, 'edge')} kept" if found.record else ""
    say(f"{counted(found.n_nodes, 'node')}, {counted(found.n_edges, 'edge')}{kept}")
    if graph.replacement is not None and graph.completeness is not None:
        say(
            f"replacement {graph.replacement:.2f} (share of what reaches the logits that is no error), "
            f"completeness {graph.completeness:.2f} (share of what nodes read that is none)"
        )
    if graph.left_out:
        traced = f"{graph.n_traced:,} of {graph.n_active:,} active features are nodes"
        say(f"{traced}; the others have {graph.left_out:.1%} of the influence")
    for note in graph.notes:
        say(note)
    rows = [["share", "", "path"]]
    rows += [[f"{path.share:.2%}", "+" if path.sign > 0 else "-", _path(path.nodes)] for path in found.paths]
    aligned(rows)
    say(NOTE)


def _path(nodes: "tuple[Node, ...]") -> str:
    return " > ".join(map(_step, nodes))


def _step(node: "Node") -> str:
    if node.kind == "logit":
        return node.label
    return f"{node.label} @{node.position}" + (f" ({node.text})" if node.kind == "feature" and node.text else "")
