"""`acdc discover`: from a model and a task to a saved circuit."""

import inspect
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import RANKS, app
from acdc.cli.one_prompt import (
    Answer,
    Chat,
    Clean,
    ColumnNames,
    Corrupt,
    FirstToken,
    SkipBad,
    System,
    WholeAnswer,
    Wrong,
    answers_of,
    asked_task,
    of_file,
)
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
    dump,
    hush,
    options_of_task,
    pairs,
    placing,
    say,
    warn,
)
from acdc.errors import ACDCError, RunError
from acdc.options.defaults import (
    ABLATION,
    DEVICE,
    DIRECTION,
    DTYPE,
    FAITHFULNESS,
    LARGE_SIZE,
    METHOD,
    N_PROMPTS,
    OUT,
    POSITIONS,
    SEED,
)
from acdc.options.ranges import Word

if TYPE_CHECKING:
    from acdc.runs.discover import RunResult

__all__ = ["FLAGS", "discover"]

FLAGS = {  # options of methods that are options of the command too
    "tau": "--tau",
    "n_edges": "--n-edges",
    "sweeps": "--sweeps",
    "absolute": "--absolute",
    "memory": "--memory",
}
OF_COMMAND = {
    "progress": "--quiet, for none",
    "task_options": "--task-option KEY=VALUE",
    "task": "the first argument",
    "ranks": "torchrun",
}


@app.command()
def discover(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK",
            help="A name (see `acdc tasks`), path/to/file.py:Class, module:Class, or a data file (.jsonl, .json, "
            ".csv); left out with --clean.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A bundled model, a local folder, or a hub name. [default: the task's own]")
    ] = None,
    method: Annotated[str, typer.Option(help="How to find it: see `acdc methods`.")] = METHOD,
    tau: Annotated[
        str | None,
        typer.Option(
            help="An edge is removed if the loss rises by less: a number, or a share of the whole effect, like 5%. "
            "[default: the method's own]"
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="kl, logit_diff, prob_diff, nll or answer_logprob. [default: the task's own]")
    ] = None,
    ablation: Annotated[str, typer.Option(help="What a removed edge carries: see `acdc methods`.")] = ABLATION,
    direction: Annotated[
        str,
        typer.Option(
            help="noising: spoil edges of the clean run, and keep those that the answer needs; denoising: restore "
            "edges of the corrupted run, and keep those that bring the answer back."
        ),
    ] = DIRECTION,
    positions: Annotated[
        str,
        typer.Option(
            help="all: an edge acts at all tokens; spans: it is one of its own at each span that the task names; each: "
            "at each position, where all prompts have one length."
        ),
    ] = POSITIONS,
    n: Annotated[int, typer.Option("--n", "-n", help="Number of prompt pairs.")] = N_PROMPTS,
    seed: Annotated[int, typer.Option(help="Seed of the prompts and of all that is drawn.")] = SEED,
    n_edges: Annotated[
        int | None,
        typer.Option(
            help=f"Keep so many edges. [default: as many as {FAITHFULNESS} of the metric needs; {LARGE_SIZE} in large "
            "models]"
        ),
    ] = None,
    sweeps: Annotated[
        int | None, typer.Option(help="How often to go through the edges; 0 until none can go. [default: 1]")
    ] = None,
    absolute: Annotated[
        bool | None,
        typer.Option("--absolute/--signed", help="Judge the size of the change, or its sign too. [default: signed]"),
    ] = None,
    memory: Memory = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="KEY=VALUE", help="Another option of the method.")
    ] = None,
    clean: Clean = None,
    corrupt: Corrupt = None,
    answer: Answer = None,
    wrong: Wrong = None,
    chat: Chat = False,
    system: System = None,
    whole_answer: WholeAnswer = False,
    first_token: FirstToken = False,
    columns: ColumnNames = None,
    skip_bad: SkipBad = False,
    task_option: TaskOption = None,
    bos: Bos = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    out: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path(OUT),
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with an unfinished run of the same arguments.")
    ] = True,
    explain: Annotated[
        bool | None,
        typer.Option(
            "--explain/--no-explain",
            help="Say what the circuit's nodes do, as far as that takes seconds; `acdc explain` says more. [default: "
            "where a summary is printed]",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find the circuit of TASK, or of one pair of prompts (--clean, --corrupt, --answer), measure it, draw it, save it.

    A run that was stopped goes on where it was when the same command is given again.
    """
    flags = dict(zip(FLAGS, (tau, n_edges, sweeps, absolute, memory), strict=True))
    options = _options(option, {name: value for name, value in flags.items() if value is not None})
    of_task = options_of_task(task_option)
    answers = answers_of(whole_answer, first_token)
    of_task |= of_file(columns, skip_bad, *(() if task is None else (chat, system, answers)))
    hush()
    from acdc.runs.discover import discover as run

    result = run(
        model,
        asked_task(task, clean, corrupt, answer, wrong, model=model, chat=chat, system=system, answers=answers),
        method=method,
        metric=metric,
        ablation=ablation,
        direction=direction,
        positions=positions,
        n=n,
        seed=seed,
        out=out,
        resume=resume,
        dtype=dtype,
        device=device,
        device_map=placing(device_map, offload),
        revision=revision,
        trust_remote_code=trust_remote_code,
        bos=bos,
        task_options=of_task,
        progress=not (quiet or as_json),
        ranks=RANKS.get(),
        **options,
    )
    _tell(result, as_json, quiet)
    if explain if explain is not None else not (as_json or quiet):
        world = {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code, "memory": memory}
        _explain(result, world, told=not (as_json or quiet))


def _explain(result: "RunResult", world: dict[str, Any], *, told: bool) -> None:
    """Explain what was found; that it can't be explained doesn't spoil the run."""
    from acdc.runs.explain import explain_briefly

    if RANKS.get().n > 1:
        warn("several processes don't explain a circuit; `acdc explain` does, by one")
        return
    try:
        found = explain_briefly(result, command=shlex.join(["acdc", *sys.argv[1:]]), progress=told, **world)
    except ACDCError as error:
        warn(f"the circuit isn't explained: {error}")
        return
    if told:
        say(f"\n{found.summary()}")
        for path in found.files:
            say(f"  {path}")


def _options(words: list[str] | None, named: dict[str, Any]) -> dict[str, Any]:
    """The method's options; those of the command's own have names that can't be given by --option too.

    Raises:
        RunError: One is given twice, or isn't an option of a method but of the command.
    """
    options = pairs(words, "--option")
    own = inspect.signature(discover).parameters
    for key in options:
        if key in named:
            raise RunError(f"{key} is given twice: as {FLAGS[key]} and as --option {key}=...")
        if key in OF_COMMAND or (key in own and key not in FLAGS):
            flag = OF_COMMAND.get(key, f"--{key.replace('_', '-')}")
            raise RunError(f"{key} is not an option of a method; give it as {flag}")
    return {key: Word(value) if isinstance(value, str) else value for key, value in (options | named).items()}


def _tell(result: "RunResult", as_json: bool, quiet: bool) -> None:
    if as_json:
        dump(result.to_dict())
    elif not quiet:
        say(result.summary())
        for path in result.files:
            say(f"  {path}")
    else:  # whoever wants no summary still wants to know that a circuit is empty
        for warning in result.warnings:
            warn(warning)
