"""`acdc feature-circuit`: the features of SAEs and transcoders that a task needs, and how they make each other."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    TaskOption,
    TrustRemoteCode,
    hush,
    options_of_task,
    placing,
    say,
    table,
    tell_found,
)
from acdc.options.defaults import ALIKE, DEVICE, DTYPE, N_HELD_OUT, N_PROMPTS, OUT, POSITIONS, SEED

if TYPE_CHECKING:
    from acdc.runs.features.circuits import FoundFeatures

__all__ = ["feature_circuit"]

TOP = 20
LOGITS = "logits"


@app.command("feature-circuit")
def feature_circuit(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's name, or a file of prompts.")],
    dictionary: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="An SAE or transcoder, or a folder of several; may be given again."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A bundled model, a local folder, or a hub name.")] = None,
    faithfulness: Annotated[float | None, typer.Option(help="The share of the metric to keep. [default: 0.9]")] = None,
    threshold: Annotated[float | None, typer.Option(help="Or: the least effect of a node, in the metric.")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Or: how many nodes.")] = None,
    edge_threshold: Annotated[
        float | None, typer.Option(help="The least weight of an edge. [default: a tenth of the weakest node's effect]")
    ] = None,
    joined: Annotated[int, typer.Option(help="Edges are measured between so many strongest nodes.")] = 100,
    ablation: Annotated[str, typer.Option(help="What other nodes have: corrupt, mean or zero.")] = "corrupt",
    errors: Annotated[
        str, typer.Option(help="What dictionaries leave over: frozen or running (nodes), kept or removed (all).")
    ] = "frozen",
    steps: Annotated[int, typer.Option(help="Gradients at each site.")] = 10,
    quadrature: Annotated[
        str, typer.Option(help="midpoint, gauss-legendre, left, or right as published.")
    ] = "midpoint",
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE", help="Take it out, like mlp_out.5/123, or all of a label; may be given again."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own labels: CSV with the columns node and label.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="[default: the task's own]")] = None,
    positions: Annotated[str, typer.Option(help="all, spans (nodes are of the task's spans) or each.")] = POSITIONS,
    n: Annotated[int, typer.Option("--n", "-n", help="Number of prompt pairs.")] = N_PROMPTS,
    n_held_out: Annotated[int, typer.Option(help="Held-out prompts that it is measured on; 0: none.")] = N_HELD_OUT,
    top: Annotated[int, typer.Option(min=1, help="How many nodes and edges to list.")] = TOP,
    seed: Annotated[int, typer.Option(help="Seed of prompts.")] = SEED,
    alike: Alike = ALIKE,
    out: Annotated[Path, typer.Option(help="Where folders are made.")] = Path(OUT),
    task_option: TaskOption = None,
    bos: Bos = None,
    memory: Memory = None,
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
    """Find the features that TASK needs: score them by integrated gradients, keep the strongest, join them by edges,
    and measure what they keep on held-out prompts."""
    of_task = options_of_task(task_option)
    hush()
    from acdc.runs.features.circuits import feature_circuit as found_by
    from acdc.runs.features.labels import labels_in

    found = found_by(
        model,
        task,
        dictionary or (),
        without=without or (),
        labels=None if labels is None else labels_in(labels),
        n=n,
        n_held_out=n_held_out,
        metric=metric,
        positions=positions,
        seed=seed,
        alike=alike,
        out=out,
        loading={
            "bos": bos,
            "memory": memory,
            "task_options": of_task,
            "dtype": dtype,
            "device": device,
            "device_map": placing(device_map, offload),
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        },
        progress=not (quiet or as_json),
        faithfulness=faithfulness,
        threshold=threshold,
        n_nodes=nodes,
        edge_threshold=edge_threshold,
        n_joined=joined,
        ablation=ablation,
        errors=errors,
        steps=steps,
        quadrature=quadrature,
    )
    tell_found(found, partial(_tell, top=top), as_json, quiet)


def _tell(found: "FoundFeatures", top: int) -> None:
    circuit = found.circuit
    say(circuit.summary())
    say("")
    heads = ["node", "effect", *(["label"] if circuit.labels else [])]
    rows = [[x.name, f"{x.effect:+.4g}", circuit.labels.get(x.name, "")] for x in circuit.nodes[:top]]
    table(heads, [row[: len(heads)] for row in rows])
    edges = [edge for edge in circuit.edges if edge.dst != LOGITS or len(circuit.dictionaries) > 1]
    if edges:  # of a single site edges are its nodes' effects
        say("")
        ends = [[edge.src, edge.dst, f"{edge.weight:+.4g}"] for edge in edges[:top]]
        table(["from", "to", "weight"], ends)
    for part in (found.evidence, found.shift):
        if part is not None:
            say("")
            say(part.summary())
