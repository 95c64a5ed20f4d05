"""`acdc evaluate`: is a saved circuit real?"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import RANKS, app
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
from acdc.options.defaults import ALPHA, CORRECTION, EPSILON, LEVEL, N_HELD_OUT, N_RANDOM, QUANTILE, SEED

if TYPE_CHECKING:
    from acdc.runs.evaluation_forecast import PartForecast

__all__ = ["evaluate"]

_FOLDER = Path(__file__).parents[1] / "evaluation" / "parts"  # one file a part; importing it would load torch
PARTS = sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


@app.command()
def evaluate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, a circuit file, or a folder with runs: the newest.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Measure just this part; may be repeated. Parts: {', '.join(PARTS)}."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this part out; may be repeated.")] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Measure all parts, however long they take, and shorten none."),
    ] = False,
    prompts: Annotated[
        str, typer.Option(help="held-out (to judge a circuit) or discovery (those that it was found on).")
    ] = "held-out",
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            "-n",
            help=f"Number of prompt pairs. [default: {N_HELD_OUT} held-out, as many as the run's in large models]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the held-out prompts and of all that is drawn.")] = SEED,
    stability: Annotated[int, typer.Option(metavar="K", help="Find the circuit again on K other sets of prompts.")] = 0,
    n_random: Annotated[int, typer.Option("--random", help="How many random circuits to compare with.")] = N_RANDOM,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = LEVEL,
    alpha: Annotated[float, typer.Option(help="Level of the tests.")] = ALPHA,
    epsilon: Annotated[float, typer.Option(help="How far from 1/2 counts as equivalent.")] = EPSILON,
    q: Annotated[float, typer.Option("--quantile", help="Which share of random circuits to be beyond.")] = QUANTILE,
    correction: Annotated[
        str, typer.Option(help="Of p-values for the number of edges tested: holm, bh or by.")
    ] = CORRECTION,
    tau: Annotated[float | None, typer.Option(help="The certificate's threshold. [default: the run's]")] = None,
    model: OtherModel = None,
    task: OtherTask = None,
    task_option: TaskOption = None,
    metric: OtherMetric = None,
    ablation: OtherAblation = None,
    bos: Annotated[
        bool | None,
        typer.Option("--bos/--no-bos", help="Start prompts with a BOS token. [default: as the run]"),
    ] = None,
    dtype: OtherDtype = None,
    device: OtherDevice = None,
    device_map: DeviceMap = None,
    offload: Offload = False,
    memory: Memory = None,
    revision: Annotated[str | None, typer.Option(help="Another revision of the model than the run's.")] = None,
    trust_remote_code: TrustRemoteCode = False,
    trust_task: TrustTask = False,
    force: Force = False,
    flip_scores: Annotated[
        bool, typer.Option("--flip-scores", help="Take the scores with the opposite sign, for another tool's file.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write. [default: evaluation/ beside the run's files]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Take over what an equal evaluation has measured.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure nothing: say what each part would cost at most.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Gather the evidence that RUN's circuit is real: on held-out prompts, with intervals and tests.

    Parts that take too long for about a minute (in large models: for 60 forward and backward passes) are left out, and
    named with what they cost; --only NAME or --thorough measures them. The circuit and the run's files stay as they
    are. docs/evaluation.md says what each number means.
    """
    of_task = options_of_task(task_option)
    hush()
    from acdc.runs.evaluate import evaluate as gather
    from acdc.runs.evaluation_forecast import forecast

    asked: dict[str, Any] = {
        "only": only or (),
        "skip": skip or (),
        "thorough": thorough,
        "prompts": prompts,
        "n": n,
        "seed": seed,
        "stability": stability,
        "n_random": n_random,
        "level": level,
        "alpha": alpha,
        "epsilon": epsilon,
        "q": q,
        "correction": correction,
        "tau": tau,
        "progress": not (quiet or as_json),
        "model": model,
        "task": task,
        "task_options": of_task if task_option else None,
        "metric": metric,
        "ablation": ablation,
        "bos": bos,
        "dtype": dtype,
        "device": device,
        "device_map": placing(device_map, offload),
        "memory": memory,
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "trust_task": trust_task,
        "force": force,
        "flip_scores": flip_scores,
    }
    if dry_run:
        _tell_costs(forecast(run, **asked), as_json)
        return
    found = gather(run, out=out, resume=resume, ranks=RANKS.get(), **asked)
    if as_json:
        dump(found.to_dict())
    elif not quiet:
        say(found.summary())
        for path in found.files:
            say(f"  {path}")


def _tell_costs(parts: "Sequence[PartForecast]", as_json: bool) -> None:
    """A table of what each part would cost, and the sum of what is known."""
    if as_json:
        dump([asdict(part) for part in parts])
        return
    from acdc.runs.evaluation_forecast import total_of

    rows = [
        [part.name, part.summary, "left out" if part.left_out else "", _most(part.forward_passes), _most(part.seconds)]
        for part in parts
    ]
    missing = [part.name for part in parts if part.forward_passes is None or part.left_out]
    told = f"at most, without {', '.join(missing)}" if missing else "at most"
    rows.append(["all", told, "", *map(_most, total_of(parts))])
    table(["part", "what it says", "", "passes", "seconds"], rows)
    for part in parts:
        if part.left_out:
            say(f"{part.name}: left out: {part.left_out}")


def _most(cost: float | None) -> str:
    return "?" if cost is None else f"{cost:,.0f}" if cost >= 10 or cost == int(cost) else f"{cost:.1f}"
