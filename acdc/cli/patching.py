"""`acdc patch` and `acdc path`: where a model carries what tells two prompts apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.one_prompt import Answer, Wrong, one_prompt
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
from acdc.errors import RunError, counted
from acdc.options.defaults import DEVICE, DTYPE, N_PATCHED, OUT, PATCHED, SEED

if TYPE_CHECKING:
    from acdc.interpret.patching_maps import NodeMap
    from acdc.runs.patching_files import PatchedMaps

__all__ = ["patch", "path"]

TOP = 5  # cells of each map in the table
SITES = ",".join(PATCHED)

CleanWord = Annotated[str | None, typer.Argument(metavar="[CLEAN", help="The prompt that is asked about.")]
CorruptWord = Annotated[str | None, typer.Argument(metavar="CORRUPT]", help="Its twin, with as many tokens.")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Instead of two prompts, a task (see `acdc tasks`), or a file of pairs.")
]
ModelName = Annotated[
    str | None, typer.Option(help="A bundled model, a local folder, or a hub name. [default: the task's own]")
]
Direction = Annotated[
    str,
    typer.Option(
        help="denoising: clean activations in the corrupted run, are they enough? noising: corrupted ones in the "
        "clean run, do they break it? Or both."
    ),
]
MetricName = Annotated[
    list[str] | None,
    typer.Option(
        help="kl, logit_diff, prob_diff or nll; may be repeated, for the runs are shared. [default: logit_diff; nll "
        "where there are no wrong answers]"
    ),
]
Pairs = Annotated[int, typer.Option("--n", "-n", min=1, help="Number of prompt pairs of a task.")]
SeedNumber = Annotated[int, typer.Option(help="Seed of the prompts and of noise.")]
Out = Annotated[Path, typer.Option(help="Where maps are kept.")]
Top = Annotated[int, typer.Option(min=0, help="How many cells of each map to list, the strongest first.")]


@app.command()
def patch(
    clean: CleanWord = None,
    corrupt: CorruptWord = None,
    task: TaskName = None,
    answer: Answer = None,
    wrong: Wrong = None,
    model: ModelName = None,
    sites: Annotated[
        str,
        typer.Option(
            help="What is patched: resid_pre, resid_mid, attn_out, mlp_out by layer and position; z, q, k, v, pattern "
            "by head; z_by_pos and so on by head and position."
        ),
    ] = SITES,
    direction: Direction = "both",
    metric: MetricName = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="How prompts are aligned: each (position), end (counted from the target back), spans. "
            "[default: spans where several prompts name them, else each]"
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(min=1, help="Layers that a cell of attn_out, mlp_out patches together. [default: 1; --noise: 10]"),
    ] = None,
    nodes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Instead of maps, the effects of these: a9.h9,m3.")
    ] = None,
    edges: Annotated[
        str | None, typer.Option(metavar="NAMES", help="And of these: 'a5.h5->a9.h9<q>,m0->logits'.")
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="Causal tracing: corrupt CLEAN by noise on its subject's embeddings.")
    ] = False,
    subject: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --noise: words of the prompt, or a span of the task.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="With --noise: noised runs of each prompt. [default: 10]")
    ] = None,
    n: Pairs = N_PATCHED,
    seed: SeedNumber = SEED,
    task_option: TaskOption = None,
    bos: Bos = None,
    memory: Memory = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    out: Out = Path(OUT),
    top: Top = TOP,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Patch activations of one prompt's run into its twin's, and map where that restores or breaks the answer.

    acdc patch "The capital of Australia is" "The capital of France is" --answer " Canberra" --wrong " Sydney" --model M
    """
    loading: dict[str, Any] = {"dtype": dtype, "device": device, "device_map": placing(device_map, offload)}
    of_task = options_of_task(task_option)
    options: dict[str, Any] = {
        "metric": _metric(metric),
        "columns": columns,
        "n": n,
        "seed": seed,
        "bos": bos,
        "memory": memory,
    }
    options |= {"out": out, "progress": not (quiet or as_json), "task_options": of_task}
    options |= {**loading, "revision": revision, "trust_remote_code": trust_remote_code}
    if noise:
        _no_others(corrupt, wrong, nodes, edges, sites, direction)
        asked = _traced(clean, task, answer, subject, model)
        hush()
        from acdc.runs.patching import trace

        found = trace(model, asked, str(subject), samples=samples or 10, window=window or 10, **options)
    else:
        if subject is not None or samples is not None:
            raise RunError("--subject and --samples say how noise is put on a prompt: give --noise too")
        if nodes or edges:
            _no_maps(sites, columns, window)
        pair = _asked(clean, corrupt, task, answer, wrong, model)
        named: dict[str, Any] = {"nodes": _names(nodes), "edges": _names(edges)}
        hush()
        from acdc.runs.patching import patch as run

        chosen: dict[str, Any] = {"sites": _names(sites), "directions": _ways(direction), "window": window or 1}
        found = run(model, pair, **chosen, **named, **options)
    _tell(found, top, as_json, quiet)


@app.command()
def path(
    clean: CleanWord = None,
    corrupt: CorruptWord = None,
    receivers: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Who hears of it: 'a9.h9<q>,a9.h6<q>', m7, or logits.")
    ] = None,
    senders: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Who is patched, each alone. [default: every head and MLP]")
    ] = None,
    through: Annotated[
        str,
        typer.Option(help="none: only the edges that join them; mlps: MLPs between them too (Wang et al. 2022)."),
    ] = "mlps",
    task: TaskName = None,
    answer: Answer = None,
    wrong: Wrong = None,
    model: ModelName = None,
    direction: Direction = "both",
    metric: MetricName = None,
    n: Pairs = N_PATCHED,
    seed: SeedNumber = SEED,
    task_option: TaskOption = None,
    bos: Bos = None,
    memory: Memory = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    out: Out = Path(OUT),
    top: Top = 15,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Patch the paths from senders to receivers, all else held, and map how much of the answer goes that way.

    acdc path --task ioi --receivers logits
    """
    if receivers is None:
        raise RunError("name who is to hear of it (--receivers), like 'a9.h9<q>' or logits")
    of_task = options_of_task(task_option)
    pair = _asked(clean, corrupt, task, answer, wrong, model)
    hush()
    from acdc.runs.patching import patch_paths

    found = patch_paths(
        model,
        pair,
        _names(receivers),
        senders=None if senders is None else _names(senders),
        through=through,
        directions=_ways(direction),
        metric=_metric(metric),
        n=n,
        seed=seed,
        bos=bos,
        memory=memory,
        task_options=of_task,
        dtype=dtype,
        device=device,
        device_map=placing(device_map, offload),
        revision=revision,
        trust_remote_code=trust_remote_code,
        out=out,
        progress=not (quiet or as_json),
    )
    _tell(found, top, as_json, quiet)


# What was asked


def _asked(
    clean: str | None,
    corrupt: str | None,
    task: str | None,
    answer: list[str] | None,
    wrong: list[str] | None,
    model: str | None,
) -> Any:
    """A task's name, or the pair of prompts.

    Raises:
        RunError: Neither or both are given, or a part of the pair is missing.
    """
    if task is None:
        return one_prompt(clean, corrupt, answer, wrong, model=model)
    if clean or corrupt or answer or wrong:
        raise RunError(f"prompts and answers of your own stand for a task; leave them out, or --task {task}")
    return task


def _traced(
    clean: str | None, task: str | None, answer: list[str] | None, subject: str | None, model: str | None
) -> Any:
    """A task's name, or the prompt and its answers.

    Raises:
        RunError: Neither or both are given, or a part is missing.
    """
    if subject is None:
        raise RunError("name the words that noise is put on (--subject), like --subject 'Australia'")
    if task is not None:
        if clean or answer:
            raise RunError(f"a prompt and answers of your own stand for a task; leave them out, or --task {task}")
        return task
    if not (clean and answer and model):
        raise RunError("tracing needs a prompt, its --answer and a --model, or a --task")
    return clean, answer


def _no_others(corrupt: str | None, wrong: Any, nodes: Any, edges: Any, sites: str, direction: str) -> None:
    """Raise `RunError` where something is given that tracing doesn't use."""
    given = {"CORRUPT": corrupt, "--wrong": wrong, "--nodes": nodes, "--edges": edges}
    given |= {"--sites": sites != SITES, "--direction": direction not in ("both", "denoising")}
    if used := [name for name, value in given.items() if value]:
        raise RunError(f"{', '.join(used)} can't be given with --noise, which restores states, MLPs and attention")


def _no_maps(sites: str, columns: str | None, window: int | None) -> None:
    """Raise `RunError` where something is given that the effects of named nodes don't use."""
    given = {"--sites": sites != SITES, "--columns": columns, "--window": window}
    if used := [name for name, value in given.items() if value]:
        raise RunError(f"{', '.join(used)} can't be given with --nodes or --edges, whose effects are of all positions")


def _names(words: str | None) -> tuple[str, ...]:
    """The names between commas."""
    return tuple(word for word in (part.strip() for part in (words or "").split(",")) if word)


def _metric(words: list[str] | None) -> str | list[str] | None:
    """The metric, or several, each once."""
    names = list(dict.fromkeys(words or ()))
    return names[0] if len(names) == 1 else names or None


def _ways(direction: str) -> tuple[str, ...]:
    return ("denoising", "noising") if direction == "both" else (direction,)


# What is said


def _tell(found: "PatchedMaps", top: int, as_json: bool, quiet: bool) -> None:
    def tables(found: "PatchedMaps") -> None:
        for line in _heading(found):
            say(line)
        rows = [row for each in found.maps for row in _strongest(each, top)]
        table(["direction", "site", "place", "share", "95% interval", "mean", "metric"], rows)

    tell_found(found, tables, as_json, quiet)


def _heading(found: "PatchedMaps") -> list[str]:
    """The two runs' means, and what makes shares doubtful."""
    lines = []
    for each in {each.metric: each for each in found.maps}.values():
        means = f"clean {each.clean.mean():.4g}, corrupted {each.corrupt.mean():.4g}"
        lines.append(f"{each.metric}: {means} ({counted(len(each.clean), 'prompt')}); a share is of this difference")
        if each.no_meaning is not None:
            lines.append(f"shares of {each.metric} have no meaning and aren't given: {each.no_meaning}")
    if skipped := found.record["arguments"].get("skipped"):
        lines.append(f"{len(skipped)} of {found.record['arguments']['n']} prompts are answered wrongly and left out")
    return lines


def _strongest(found: "NodeMap", top: int) -> list[list[str]]:
    rows = []
    for cell in found.strongest(top):
        interval = found.interval(found.rows.index(cell.row), found.columns.index(cell.column))
        place = cell.node or (cell.row if found.columns == ("effect",) else f"{cell.row}, {cell.column}")
        known = cell.value is not None and interval.low is not None and interval.high is not None
        ends = f"{interval.low:.3f} to {interval.high:.3f}" if known else ""
        share = "" if cell.value is None else f"{cell.value:.3f}"
        rows.append([found.direction, found.site, place, share, ends, f"{cell.mean:.4g}", found.metric])
    return rows
