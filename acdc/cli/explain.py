"""`acdc explain`: what does a saved circuit do?"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.reloading import (
    Force,
    OtherAblation,
    OtherDevice,
    OtherDtype,
    OtherMetric,
    OtherModel,
    OtherTask,
    TrustTask,
)
from acdc.cli.terminal import (
    Debug,
    DeviceMap,
    Json,
    Memory,
    Offload,
    Quiet,
    TaskOption,
    TrustRemoteCode,
    dump,
    hush,
    options_of_task,
    placing,
    say,
    table,
)
from acdc.options.defaults import N_EXPLAINED, N_SHOWN, SEED

if TYPE_CHECKING:
    from acdc.runs.explain_plan import SectionForecast

__all__ = ["explain"]

_FOLDER = Path(__file__).parents[1] / "interpret" / "sections"  # one file a section; importing it would load torch
SECTIONS = sorted(path.stem for path in _FOLDER.glob("[!_]*.py") if path.stem != "section")


@app.command()
def explain(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, a circuit file, or a folder with runs: the newest.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Measure just this section; may be repeated. Sections: {', '.join(SECTIONS)}."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this section out; may be repeated.")] = None,
    nodes: Annotated[int, typer.Option(help="How many nodes get roles, patterns and effects.")] = N_EXPLAINED,
    examples: Annotated[int, typer.Option(help="How many prompts are shown.")] = N_SHOWN,
    label: Annotated[
        str | None,
        typer.Option(help="What probes and steering are about: answer, order or side. [default: the first that fits]"),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("--n", "-n", help="Held-out prompt pairs. [default: 100, as many as the run's in large models]"),
    ] = None,
    n_probed: Annotated[
        int | None, typer.Option(help="Prompts that probes are fitted on. [default: 200, 80 in large models]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the held-out prompts and of all that is drawn.")] = SEED,
    seconds: Annotated[
        float | None, typer.Option(help="Leave out sections that would take longer together. [default: all]")
    ] = None,
    model: OtherModel = None,
    task: OtherTask = None,
    task_option: TaskOption = None,
    metric: OtherMetric = None,
    ablation: OtherAblation = None,
    dtype: OtherDtype = None,
    device: OtherDevice = None,
    device_map: DeviceMap = None,
    offload: Offload = False,
    memory: Memory = None,
    trust_remote_code: TrustRemoteCode = False,
    trust_task: TrustTask = False,
    force: Force = False,
    out: Annotated[Path | None, typer.Option(help="Where to write. [default: into the run's folder]")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Take over sections that an equal call has finished.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure nothing: say what each section would cost.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what RUN's circuit does: which nodes matter, where they look, what they write, which roles hold.

    What is claimed is measured on held-out prompts, and roles are tested by the interventions that they predict.
    docs/explain.md says what each section means.
    """
    of_task = options_of_task(task_option)
    hush()
    from acdc.runs.explain import explain as say_what
    from acdc.runs.explain import forecast_explanation

    asked: dict[str, Any] = {
        "only": only or (),
        "skip": skip or (),
        "nodes": nodes,
        "examples": examples,
        "label": label,
        "n": n,
        "n_probed": n_probed,
        "seed": seed,
        "seconds": seconds,
        "progress": not (quiet or as_json),
        "model": model,
        "task": task,
        "task_options": of_task if task_option else None,
        "metric": metric,
        "ablation": ablation,
        "dtype": dtype,
        "device": device,
        "device_map": placing(device_map, offload),
        "memory": memory,
        "trust_remote_code": trust_remote_code,
        "trust_task": trust_task,
        "force": force,
    }
    if dry_run:
        _tell_costs(forecast_explanation(run, **asked), as_json)
        return
    command = shlex.join(["acdc", *sys.argv[1:]])
    found = say_what(run, out=out, resume=resume, command=command, **asked)
    if as_json:
        dump(found.to_dict())
    elif not quiet:
        say(found.summary())
        for path in found.files:
            say(f"  {path}")


def _tell_costs(sections: "Sequence[SectionForecast]", as_json: bool) -> None:
    """A table of what each section would cost, and the sum."""
    if as_json:
        dump([asdict(each) for each in sections])
        return
    rows = [
        [each.name, each.summary, each.left_out or "", f"{each.forward_passes:.1f}", f"{each.seconds:.1f}"]
        for each in sections
    ]
    measured = [each for each in sections if each.left_out is None]
    passes, seconds = (sum(getattr(each, name) for each in measured) for name in ("forward_passes", "seconds"))
    rows.append(["all", "", "", f"{passes:.1f}", f"{seconds:.1f}"])
    table(["section", "what it says", "left out", "passes", "seconds"], rows)
