"""Runs and circuits side by side: what each word names, what the circuits are called, and the same prompts for all."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.circuits.formats import ShapelessError, read_circuit
from acdc.circuits.graph import Graph
from acdc.circuits.published import GPT2_SMALL, REFERENCES, get_reference
from acdc.errors import CircuitError, RunError, unknown_name
from acdc.evaluation import measure
from acdc.prompts.positions import positions_of
from acdc.runs.arguments import resolve_arguments
from acdc.runs.catalog import find_run
from acdc.runs.places import check_recorded_task
from acdc.runs.prompt_file import PROMPTS, read_prompts
from acdc.runs.result import RunResult, load_run

__all__ = ["Compared", "measure_all", "read_all", "reference_among"]

logger = logging.getLogger(__name__)

SETTINGS = ("model", "ablation", "n", "seed", "dtype", "device", "revision")  # taken over from another run


@dataclass(frozen=True, eq=False)
class Compared:
    """What a word names: a circuit, and the run that it is of, if it is of one.

    Attributes:
        path: Where it is, or the name of a published reference.
    """

    path: Path
    circuit: Circuit
    run: RunResult | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The run's arguments and its method's options, as far as they are known."""
        return {} if self.run is None else {**self.run.arguments, **self.run.arguments["options"]}


def read_all(words: Sequence[str], reference: str | None = None) -> dict[str, Compared]:
    """The circuits that are to be compared, by short names that differ.

    Args:
        words: Runs, files of circuits in any format, or published references. A file or reference that doesn't say its
            model's shape has that of the first one that does.
        reference: Compared with the others too, if it names a circuit that isn't among them.

    Raises:
        RunError: There are fewer than two, one is given twice, or none says the model's shape.
        UnknownNameError: A word names nothing.
        ACDCError: One can't be read.
    """
    paths = [Path(word) for word in words]
    target = None if reference is None else Path(reference)
    if target is not None and (target.exists() or _is_published(target)) and not _is_among(target, paths):
        paths.append(target)
    if len(paths) < 2 and reference is None:
        raise RunError(f"comparing needs two runs or circuits or more, not {len(paths)}: acdc compare RUN RUN")
    found = _named(_read(paths))
    if reference is not None:
        reference_among(found, reference)
    if len(found) < 2:
        raise RunError(f"comparing needs two runs or circuits or more, and {reference!r} is the only one")
    return found


def reference_among(compared: Mapping[str, Compared], word: str) -> str:
    """The short name of the circuit that is meant: by that name, by its path, or as a published reference.

    Raises:
        UnknownNameError: It is none of these.
    """
    if word in compared:
        return word
    found = next((name for name, one in compared.items() if _is_among(Path(word), [one.path])), None)
    if found is None:
        raise unknown_name("reference", word, [*compared, *REFERENCES])
    return found


def measure_all(
    compared: Mapping[str, Compared], on: str, *, model: str | None = None, trust_task: bool = False
) -> dict[str, dict[str, Any]]:
    """Every circuit's metrics on the same prompts, in a model that is loaded once; split by the circuit's own spans.

    Args:
        on: A run, whose prompts are taken; or a task, with the settings of the first run that is compared.
        model: The model, where no run tells it.
        trust_task: Whether the code of that run's task may run, where that is in a file or a module.

    Raises:
        CircuitError: The model has another shape than the circuits.
        ACDCError: Run, task or model can't be used.
    """
    recorded = _of_run(on, trust_task) if Path(on).is_dir() else _of_task(on, compared)
    prompts_sha256 = recorded.pop("prompts_sha256", None)
    # code that comes with a model runs only in a discovery that was told to let it
    arguments = resolve_arguments(**recorded | ({} if model is None else {"model": model}))
    loaded, graph = arguments.model.load(), next(iter(compared.values())).circuit.graph.whole
    if loaded.graph != graph:
        raise CircuitError(f"the circuits are of {graph.shape}, but {loaded.name} has {loaded.graph.shape}")
    if prompts_sha256 not in (None, arguments.problem(loaded).batch.fingerprint):
        logger.warning("the prompts of %s could not be made again: the task or the tokenizer is another now", on)
    problems = {
        spans: replace(arguments, positions=positions_of(spans), spans=spans).problem(loaded)
        for spans in {one.circuit.graph.spans for one in compared.values()}
    }
    return {name: measure(problems[one.circuit.graph.spans], one.circuit.mask) for name, one in compared.items()}


def _of_run(on: str, trust_task: bool) -> dict[str, Any]:
    """The arguments of a run, with its prompts' hash."""
    run = load_run(find_run(on))
    names = (*SETTINGS, "metric", "bos", "task_options", "positions")
    found = {name: run.arguments[name] for name in names if name in run.arguments}
    found |= {"n": run.arguments.get("n_asked") or run.arguments["n"], "prompts_sha256": run.record["prompts_sha256"]}
    if run.arguments["task"] == PROMPTS and run.path is not None:  # a list of prompts, which the run has kept
        task: Any = read_prompts(run.path / PROMPTS, run.arguments["task_name"])
    else:
        task = check_recorded_task(run.arguments["task"], trusted=trust_task)
    return found | {"task": task}


def _of_task(on: str, compared: Mapping[str, Compared]) -> dict[str, Any]:
    """A task with the settings of the first run; its metric and the task's options too, if it is that run's task."""
    first = next((one.run.arguments for one in compared.values() if one.run is not None), {})
    is_same = on in (first.get("task"), first.get("task_name"))
    names = (*SETTINGS, *(("metric", "task_options") if is_same else ()))
    return {"model": None, "task": on} | {name: first[name] for name in names if name in first}


def _read(paths: Sequence[Path]) -> list[Compared]:
    if twice := next((path for n, path in enumerate(paths) if _is_among(path, paths[:n])), None):
        raise RunError(f"{str(twice)!r} is given twice")
    for path in paths:
        if not path.exists() and not _is_published(path):
            raise unknown_name("run, circuit file or published reference", str(path), _near(path))
    found = dict[Path, Compared]()
    for path in paths:
        with suppress(ShapelessError):
            found |= {} if _is_published(path) else {path: _read_one(path, None)}
    graph = next((one.circuit.graph for one in found.values()), None)
    if graph is None and not any(map(_is_published, paths)):
        raise RunError("none of these says the model's shape; give a run or a circuit of the same model with them")
    return [found.get(path) or _read_one(path, graph or GPT2_SMALL) for path in paths]


def _read_one(path: Path, graph: Graph | None) -> Compared:
    """What a path or a name means.

    Raises:
        ShapelessError: It needs a graph, and none is given.
    """
    if graph is not None and _is_published(path):
        return Compared(path, get_reference(str(path)).circuit(graph.whole))
    if path.is_dir():
        run = load_run(find_run(path))
        return Compared(path, run.circuit, run)
    return Compared(path, read_circuit(path, graph=graph))


def _is_published(path: Path) -> bool:
    """Whether a word names a published reference; a path that is there goes first."""
    return str(path) in REFERENCES and not path.exists()


def _is_among(path: Path, others: Sequence[Path]) -> bool:
    if not path.exists():
        return path in others
    return any(other.exists() and path.resolve() == other.resolve() for other in others)


def _near(path: Path) -> list[str]:
    """What might have been meant: the published references, and what lies beside the path that isn't there."""
    try:
        beside = sorted(str(other) for other in path.parent.iterdir() if not other.name.startswith("."))
    except OSError:
        beside = []
    return [*REFERENCES, *get_close_matches(str(path), beside, n=5)]


def _named(compared: Sequence[Compared]) -> dict[str, Compared]:
    """Short names that differ: the method; with the arguments that differ; the file's name; at last the path."""
    ways: list[Callable[[Compared], str]] = [
        _method,
        lambda one: " ".join([_method(one), *_settings(one, compared)]),
        lambda one: one.path.name,
        lambda one: f"{one.path.parent.name}/{one.path.name}",
    ]
    for way in ways:
        names = [way(one) for one in compared]
        if len(set(names)) == len(names) and all(names):
            return dict(zip(names, compared, strict=True))
    return {str(one.path): one for one in compared}


def _method(one: Compared) -> str:
    return str(one.arguments.get("method", one.path.stem))


def _settings(one: Compared, compared: Sequence[Compared]) -> list[str]:
    """`tau=0.1`, `task=ioi`: the arguments of a run that aren't the same in all runs of its method.

    A task's and a model's names say enough of them.
    """
    rivals = [other.arguments for other in compared if _method(other) == _method(one)]
    return [
        f"{name.removesuffix('_name')}={_shown(name, value)}"
        for name, value in one.arguments.items()
        if name not in ("task", "options", "n_asked") and any(other.get(name) != value for other in rivals)
        if value is not None
    ]


def _shown(name: str, value: Any) -> str:
    if name == "model":
        return model_words(str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
