"""What a saved circuit does: from a run to an explanation, section by section."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from acdc.circuits.circuit import Circuit
from acdc.errors import ACDCError, FileError, RunError
from acdc.interpret.draft import empty, together
from acdc.interpret.explanation import Explanation
from acdc.interpret.labels import LABELS
from acdc.interpret.node_spans import cards_at_spans
from acdc.interpret.sections import SECTIONS, Section
from acdc.interpret.subject import ExplainSettings, Subject
from acdc.interpret.telling import told
from acdc.options.defaults import LARGE, N_EXPLAINED, N_HELD_OUT, N_PROBED, N_SHOWN, SEED
from acdc.options.ranges import Range, checked
from acdc.progress import Progress, Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import MAX_PAIRS, PromptBatch
from acdc.runs.explain_figures import draw_explanation
from acdc.runs.explain_folder import KeptSections
from acdc.runs.explain_plan import SectionForecast, planned, tell_total
from acdc.runs.explained import TABLES, Explained
from acdc.runs.fingerprint import fingerprint, versions
from acdc.runs.folders import RECORD, check_writable
from acdc.runs.learning import learned_again
from acdc.runs.page import page_of_run
from acdc.runs.reload import ReloadedRun, reload
from acdc.runs.result import RunResult

__all__ = ["explain", "explain_briefly", "forecast_explanation"]

N_LARGE_PROBED = 80  # prompts that probes are fitted on in large models
BRIEF_SECONDS, BRIEF_NODES, BRIEF_PROMPTS = 20.0, 12, 16  # of what a discovery says at its end


def explain(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    nodes: int = N_EXPLAINED,
    examples: int = N_SHOWN,
    label: str | None = None,
    n: int | None = None,
    n_probed: int | None = None,
    seed: int = SEED,
    seconds: float | None = None,
    save: bool = True,
    out: str | Path | None = None,
    resume: bool = True,
    command: str = "",
    progress: Progressing = None,
    **world: Any,
) -> Explained:
    """Say what a circuit does: measure its nodes on held-out prompts, name their roles, and test what they predict.

    Args:
        run: A run's folder, a folder with runs (the newest), a circuit file, a `RunResult` or a `Circuit`.
        only, skip: Which sections of `acdc.interpret.sections.SECTIONS` to measure; all by default.
        nodes: How many nodes get the costly parts of a card: those whose outgoing edges have the largest scores.
        examples: How many prompts are shown with patterns and predictions.
        label: What probes and steering are about: `answer`, `order` or `side`; the first that fits if None.
        n: How many held-out prompts; 100, and in models of more than 20,000 edges as many as the run had, if None.
        n_probed: Prompts that probes are fitted on; 200, and in such models 80, if None.
        seed: Of the held-out prompts and of all that is drawn.
        seconds: Leave out sections that would take longer together, the last ones first; all are measured if None.
        save: Whether to write anything.
        out: Where to; the run's own folder if None.
        resume: Take over sections that an earlier explanation with the same arguments has finished.
        command: What the explanation says it was made by.
        progress: True shows a bar; a function is called with a `Progress` as the work proceeds.
        world: Model, task and loading options instead of the run's own: see `acdc.runs.reload.reload`.

    Returns:
        The explanation, in words, as frames and as `explanation.json` holds it; the circuit isn't changed.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.

    >>> import acdc
    >>> print(acdc.explain("outputs/ioi").summary())  # doctest: +SKIP
    """
    chosen = _chosen(only, skip)
    given = _checked(nodes=nodes, examples=examples, label=label, n=n, n_probed=n_probed, seed=seed)
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = reload(run, **world)
        place = _place(reloaded, out) if save else None
        reloaded = learned_again(reloaded, place, tell)
        subject = _subject(reloaded, given, tell)
        kept = KeptSections(place, _fingerprint(subject, reloaded), resume=resume)
        measured = [each.name for each in chosen if kept.get(each.name) is not None]
        plan = planned(chosen, subject, seconds, measured=measured)
        tell_total(plan, tell)
        found = _measured(plan, skip, subject, kept, command, tell)
        task = reloaded.arguments.task
        words = told(found, subject.circuit, task=task.name, summary=task.summary, model=reloaded.model.name)
        explained = Explained(subject.circuit, words)
        return explained if place is None else _written(explained, place)


def explain_briefly(run: RunResult, *, command: str = "", progress: Progressing = None, **world: Any) -> Explained:
    """What a discovery says at its end of the circuit that it found: the sections that take seconds.

    In models of more than 20,000 edges it looks at fewer nodes and prompts, and no longer than about twenty seconds of
    work. `acdc.explain` says more.

    Raises:
        ACDCError: The model or the task can't be loaded again.
    """
    is_large = run.circuit.graph.n_edges > LARGE
    brief = [name for name, section in SECTIONS.items() if section.brief]
    return explain(
        run,
        only=brief,
        nodes=BRIEF_NODES if is_large else N_EXPLAINED,
        n=BRIEF_PROMPTS if is_large else None,
        seconds=BRIEF_SECONDS if is_large else None,
        command=command,
        progress=progress,
        **world,
    )


def forecast_explanation(
    run: str | Path | RunResult | Circuit,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    seconds: float | None = None,
    progress: Progressing = None,
    **arguments: Any,
) -> tuple[SectionForecast, ...]:
    """What `explain` with the same arguments would cost. Nothing is written; two forward passes are timed.

    Raises:
        ACDCError: An argument, the run, its model or its task can't be used.
    """
    names = ("nodes", "examples", "label", "n", "n_probed", "seed")
    chosen, given = _chosen(only, skip), _checked(**{name: arguments.pop(name) for name in names if name in arguments})
    with shown(progress) as tell:
        announce(tell, "loading the model")
        reloaded = learned_again(reload(run, **arguments), None, tell)
        return planned(chosen, _subject(reloaded, given, tell), seconds)


def _chosen(only: Sequence[str], skip: Sequence[str]) -> list[Section]:
    for name in (*only, *skip):
        SECTIONS.find(name)
    chosen = [each for name, each in SECTIONS.items() if (not only or name in only) and name not in skip]
    if not chosen:
        raise RunError("nothing is left to explain: every section is skipped")
    return chosen


def _checked(**given: Any) -> dict[str, Any]:
    """The settings that were given, each of its type and within its bounds.

    Raises:
        RunError: One isn't.
        UnknownNameError: There is no such label.
    """
    kinds = {**get_type_hints(ExplainSettings, include_extras=True), "n": Annotated[int, Range(2, MAX_PAIRS)]}
    if (label := given.get("label")) is not None:
        given["label"] = LABELS.find(str(label)).name
    return {name: checked(name, kinds[name], value) for name, value in given.items() if value is not None}


def _place(reloaded: ReloadedRun, out: str | Path | None) -> Path | None:
    """Where the explanation is written: the run's folder; None for a circuit that lies nowhere."""
    if out is None and reloaded.beside is None:
        return None
    place = reloaded.beside.parent if out is None and reloaded.beside is not None else Path(str(out)).expanduser()
    check_writable(place)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _written(explained: Explained, place: Path) -> Explained:
    """The explanation with its files and pictures, and the page of the run where it lies in a run's folder."""
    explained = explained.write(place)
    files = [*explained.files, *draw_explanation(explained.explanation, place / TABLES)]
    files += [page_of_run(place)] if (place / RECORD).is_file() else []
    return replace(explained, files=tuple(files))


def _subject(reloaded: ReloadedRun, given: Mapping[str, Any], tell: Tell | None) -> Subject:
    is_large = reloaded.circuit.graph.n_edges > LARGE
    own = {"n_probed": N_LARGE_PROBED if is_large else N_PROBED} | dict(given)
    n = own.pop("n", None) or (max(2, min(N_HELD_OUT, reloaded.arguments.n)) if is_large else N_HELD_OUT)
    settings = ExplainSettings(**own)
    discovery, warning = reloaded.discovery_problem(tell)
    problem = reloaded.problem(n=n, seed=settings.seed, held_out=True)
    known = reloaded.prompts_sha256 == discovery.batch.fingerprint
    task, bos, tokenizer = reloaded.arguments.task, reloaded.arguments.bos, reloaded.model.tokenizer

    def draw(n: int, seed: int, held_out: bool) -> PromptBatch:
        return task.batch(tokenizer, n, seed, held_out=held_out, bos=bos)

    return Subject(
        circuit=reloaded.circuit,
        problem=problem,
        discovery=discovery,
        n_seen=problem.batch.n_shared(discovery.batch) if known else None,
        settings=settings,
        draw=draw,
        notes=(*reloaded.warnings, *([warning] if warning else []), *problem.batch.notes),
        tell=tell,
    )


def _circuit_hash(circuit: Circuit) -> str:
    scores = b"" if circuit.scores is None else circuit.scores.numpy().tobytes()
    return hashlib.sha256(circuit.mask.numpy().tobytes() + scores).hexdigest()


def _fingerprint(subject: Subject, reloaded: ReloadedRun) -> str:
    """Of all that decides what sections find."""
    return fingerprint(
        {
            "circuit": _circuit_hash(reloaded.circuit),
            "arguments": reloaded.arguments.to_json(),
            "model": dict(reloaded.identity),
            "settings": asdict(subject.settings),
            "prompts": [subject.problem.batch.fingerprint, subject.discovery.batch.fingerprint],
            "versions": versions(),
        }
    )


def _measured(
    plan: Sequence[SectionForecast],
    skip: Sequence[str],
    subject: Subject,
    kept: KeptSections,
    command: str,
    tell: Tell | None,
) -> Explanation:
    """What all sections found, now or in an earlier call with the same settings; one that fails leaves a note."""
    circuit, notes = _circuit_hash(subject.circuit), list(subject.notes)
    cards = cards_at_spans(subject.circuit, subject.nodes)
    found = empty(circuit, command=command, held_out=subject.n_seen == 0, nodes=cards, notes=notes)
    wanted, done = {each.name for each in plan if each.left_out is None}, 0
    for name, section in SECTIONS.items():
        known = None if name in skip else kept.get(name)
        if known is None and name in wanted:
            done += 1
            subject.step = _telling(tell, name, done, len(wanted))
            known = _section(section, subject, found, kept)
        found = found if known is None else together(found, known)
    notes = [f"{each.name} was left out: {each.left_out}" for each in plan if each.left_out is not None]
    return together(found, empty(notes=notes))


def _section(section: Section, subject: Subject, so_far: Explanation, kept: KeptSections) -> Explanation:
    """What one section adds, which is kept; why it can't be measured isn't."""
    start = time.monotonic()
    subject.step(0, 0)
    try:
        found = section.measure(subject, so_far)
    except FileError:  # a full disk says nothing about the circuit
        raise
    except ACDCError as error:
        return empty(notes=[f"{section.name} could not be measured: {error}"])
    found = together(found, empty(seconds={section.name: round(time.monotonic() - start, 3)}))
    kept.keep(section.name, found)
    return found


def _telling(tell: Tell | None, name: str, place: int, n_parts: int) -> Any:
    """How a section tells how far it is."""

    def step(done: int, total: int) -> None:
        if tell is not None:
            tell(Progress(done, total, stage=name, part=place, n_parts=n_parts))

    return step
