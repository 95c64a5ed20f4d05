"""A finished run as a value, and the folder that it is read back from."""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit, model_words
from acdc.circuits.ranking import strongest_nodes
from acdc.circuits.score_kinds import words_of
from acdc.defaults import FAITHFULNESS
from acdc.errors import FileError, RunError, printable
from acdc.evaluation.held_out import prompts_text
from acdc.evaluation.meaning import shown_ratio
from acdc.evaluation.predictions import prediction_lines
from acdc.files import parse_json, read_bytes, validated
from acdc.runs.folders import CHECKPOINT, RECORD
from acdc.runs.records import Metrics, Record

__all__ = ["RunResult", "find_run", "find_runs", "load_run", "read_metrics", "read_record"]

logger = logging.getLogger(__name__)

CIRCUIT, METRICS = "circuit.json", "metrics.json"
NOTED = {  # what our methods measure on the way, in words; other methods' names are shown as they are
    "whole_effect": "removing every edge raises the loss by {}",
    "edges_gone_through": "{} edges of the ranking were gone through to reach this size",
    "faithfulness": "this size keeps a share of {} of the metric's change",
    "sign_consistent_edges": "{} edges have the same sign in nearly all resamples",
    "completeness_error": "scores add up to the exact effect within {}",
    "relative_completeness_error": "which is {} of that effect",
    "worst_component": "the worst is {}",
}


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a discovery found, how good it is, and how it was made.

    Attributes:
        circuit: The circuit, with the effect of each measured edge.
        metrics: What the circuit does on the prompts, beside the full model and the corrupted run: see
            `acdc.evaluation.measure`; under `held_out` the same on prompts that the search did not see.
        record: What `run.json` holds: arguments, model, prompts, versions, times, cost.
        path: The run's folder; None if nothing was written.
        files: What was written.
    """

    circuit: Circuit
    metrics: Mapping[str, Any]
    record: Mapping[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> "RunResult":
        """Read a run's folder: see `load_run`."""
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise RunError(f"there is no run folder {str(folder)!r}")
        if not (folder / RECORD).is_file():
            if (folder / CHECKPOINT).is_file():
                raise RunError(f"the run {str(folder)!r} is unfinished; the same command or call again finishes it")
            raise RunError(f"{str(folder)!r} is no run folder: it has no {RECORD}")
        record, metrics = read_record(folder), read_metrics(folder)
        files = tuple(folder / name for name in record.get("files", []) if (folder / name).is_file())
        circuit = Circuit.load(folder / CIRCUIT)
        _check_of_one_run(folder, circuit, metrics, record)
        return cls(circuit, metrics, record, folder, files)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of `discover`, the method's options with their defaults included."""
        return self.record["arguments"]

    @property
    def cost(self) -> Mapping[str, Any]:
        """What the search took, as its method counts."""
        return self.record["cost"]

    @property
    def claims(self) -> Mapping[str, Any]:
        """What holds of the circuit by the way it was found."""
        return self.record.get("claims", {})

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the result must know, a sentence each: of the search, the metrics and the prompts."""
        return tuple(self.record.get("warnings", ()))

    def summary(self) -> str:
        """The run in a few lines of plain text."""
        named = _facts(self.metrics, self.record) | _strongest(self.circuit)
        facts = [(printable(name, 60), printable(value, 1000)) for name, value in named.items()]
        width = max(len(name) for name, _ in facts) + 2
        lines = [_title(self.record), *(f"  {name:<{width}}{value}" for name, value in facts)]
        return "\n".join([*lines, *(f"  warning: {printable(warning)}" for warning in self.warnings)])

    def predictions(self) -> str:
        """The most probable tokens of model, circuit and corrupted run on the first prompts, in plain text."""
        lines = [line for each in self.metrics["predictions"] for line in prediction_lines(each)]
        width = max((len(name) for name, _ in lines), default=0) + 2
        return "\n".join(f"  {name:<{width}}{text}" for name, text in lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything that JSON can hold of it, with the names of the kept edges."""
        return {
            "path": None if self.path is None else str(self.path),
            **self.record,
            "files": [str(file) for file in self.files],
            "metrics": dict(self.metrics),
            "nodes": list(self.circuit.nodes),
            "edges": list(self.circuit.edges),
        }

    def _repr_html_(self) -> str:
        from acdc.drawing.notebook import facts_html, html_circuit

        warnings = [("warning", warning) for warning in self.warnings]
        facts = [*_facts(self.metrics, self.record).items(), *_strongest(self.circuit).items(), *warnings]
        return facts_html(_title(self.record), facts) + html_circuit(self.circuit)

    def __repr__(self) -> str:
        where = "not saved" if self.path is None else str(self.path)
        return f"RunResult({self.circuit!r}, {where})"

    def __str__(self) -> str:
        return self.summary()


def _check_of_one_run(folder: Path, circuit: Circuit, metrics: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise `FileError` where a run's files were put together from several runs, or its circuit was edited."""
    arguments, same = record["arguments"], ("task_name", "method", "seed")
    others = any(circuit.provenance.get(name, arguments[name]) != arguments[name] for name in same)
    if others or metrics["n_edges"] != circuit.n_edges:
        raise FileError(
            f"the files in {folder} aren't of one run: {CIRCUIT} isn't the circuit that {METRICS} and {RECORD} tell "
            f"of; copy {CIRCUIT} elsewhere and give the copy"
        )


def load_run(path: str | Path) -> RunResult:
    """Read a finished run from its folder.

    Raises:
        RunError: There is no such folder, or it holds no run or an unfinished one.
        FileError: A file of it is damaged.
        CircuitError: Its circuit can't be read.
    """
    return RunResult.load(path)


def find_run(path: str | Path) -> Path:
    """The run folder that `path` means: itself, or the newest finished run somewhere below it.

    Raises:
        RunError: There is no such folder, or no finished run in it.
    """
    runs = find_runs(path)
    if len(runs) > 1:
        logger.warning("of the %d runs below %s this is the newest: %s", len(runs), path, runs[0])
    return runs[0]


def find_runs(path: str | Path) -> list[Path]:
    """The run folders that `path` means: itself, or the finished runs somewhere below it, the newest first.

    Raises:
        RunError: There is no such folder, or no finished run in it.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RunError(
            f"there is no run {str(path)!r}: give a run's folder, a circuit.json, or a folder with runs in it"
        )
    if (folder / RECORD).is_file() or (folder / CHECKPOINT).is_file():
        return [folder]
    runs = sorted((record.parent for record in folder.rglob(RECORD)), key=lambda run: run.name, reverse=True)
    if not runs:
        raise RunError(f"no finished run lies in {str(folder)!r}")
    return runs


def read_record(folder: Path) -> dict[str, Any]:
    """What a run's `run.json` holds.

    Raises:
        FileError: It can't be read or is damaged.
    """
    return _read(folder / RECORD, Record)


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a run's `metrics.json` holds.

    Raises:
        FileError: It can't be read or is damaged.
    """
    return _read(folder / METRICS, Metrics)


def _read(path: Path, schema: type[Record] | type[Metrics]) -> dict[str, Any]:
    content = read_bytes(path)
    try:
        value = parse_json(content)
    except FileError as error:
        raise FileError(f"{path} is damaged: it {error}") from None
    return validated(schema, value, what=f"{path} is damaged").model_dump(exclude_unset=True)


def _title(record: Mapping[str, Any]) -> str:
    arguments, resolved = record["arguments"], record.get("resolved", {})
    options = arguments.get("options", {})
    tau = [_tau(options["tau"], resolved)] if options.get("tau") is not None else []
    tau += [_selection({**options, **resolved})] if "select" in options else []
    settings = [*tau, str(arguments["metric"]), f"ablation {arguments['ablation']}", f"{arguments['n']} prompts"]
    model = model_words(str(arguments["model"]))
    return printable(f"{arguments['task_name']} on {model}, by {arguments['method']} ({', '.join(settings)})", 400)


def _tau(tau: float | str, resolved: Mapping[str, Any]) -> str:
    """The threshold; of a share of the whole effect, the number too."""
    return f"tau {tau} ({resolved.get('tau', math.nan):.3g})" if isinstance(tau, str) else f"tau {tau:g}"


def _selection(options: Mapping[str, Any]) -> str:
    """How the circuit was chosen by its scores."""
    for name in ("n_edges", "threshold"):
        if options.get(name) is not None:
            return f"{name.replace('_', ' ')} {options[name]:g}"
    return f"faithfulness {FAITHFULNESS if options.get('faithfulness') is None else options['faithfulness']:g}"


def _facts(metrics: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    kl, name = metrics["kl"], metrics["metric"]
    facts = {
        "edges": f"{metrics['n_edges']:,} of {metrics['n_edges_of_model']:,} kept, {metrics['n_nodes']} nodes",
        "KL to the full model": f"{_number(kl['circuit'])} (every edge removed: {_number(kl['corrupted'])})",
        "accuracy": _three(metrics["accuracy"]),
        "top-1 accuracy": _three(metrics["top1_accuracy"]),
        "p(correct)": _three(metrics["p_correct"]),
    }
    if name != "kl":
        facts[name] = ", ".join(f"{who} {_number(metrics[name][who])}" for who in ("model", "circuit", "corrupted"))
    ratio = shown_ratio(metrics["faithfulness"], metrics["no_meaning"])
    facts["faithfulness"] = f"{ratio} by {name} (1: full model, 0: every edge removed)"
    facts["held out"] = _held_out(metrics.get("held_out"))
    facts["time"] = _time(record)
    claims = [
        f"{claim.replace('_', ' ')}: {'yes' if holds else 'no'}" for claim, holds in record.get("claims", {}).items()
    ]
    facts |= {"claims": ", ".join(claims)} if claims else {}
    noted = [NOTED.get(name, f"{name.replace('_', ' ')} {{}}").format(_shown(v)) for name, v in _evidence(record)]
    return facts | ({"search": ", ".join(noted)} if noted else {})


def _evidence(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What the search measured on the way, by name; curves are too long for a line."""
    return ((name, value) for name, value in record.get("evidence", {}).items() if not isinstance(value, list))


def _strongest(circuit: Circuit, n: int = 6) -> dict[str, str]:
    """The heads and MLPs whose kept outgoing edges have the largest scores together; by their number, if none has."""
    graph, mask, scores = circuit.graph, circuit.mask, circuit.scores
    by = f"{words_of(circuit.score_kind).label} of their outgoing edges, summed"
    if scores is None or not scores[mask].nan_to_num().any():
        scores, by = mask.double(), "number of kept edges"
    names = strongest_nodes(graph, mask, scores, n)
    return {"strongest": f"{', '.join(names)} (by {by})"} if names else {}


def _held_out(metrics: Mapping[str, Any] | None) -> str:
    """The same on prompts that the search did not see."""
    if metrics is None:
        return "not measured"
    n, seen = metrics["n_prompts"], metrics["n_seen"]
    accuracy = ", ".join(f"{who} {_number(metrics['accuracy'][who], 2)}" for who in ("model", "circuit"))
    ratio = shown_ratio(metrics["faithfulness"], metrics["no_meaning"], why=False)
    numbers = f"KL {_number(metrics['kl']['circuit'])}, accuracy {accuracy}, faithfulness {ratio}"
    return f"{'none: ' if seen == n else ''}{numbers} ({prompts_text(n, seen, 'other')})"


def _three(means: Mapping[str, float | None]) -> str:
    return ", ".join(f"{who} {_number(means[who], 2)}" for who in ("model", "circuit", "corrupted"))


def _time(record: Mapping[str, Any]) -> str:
    cost, seconds = record["cost"], record["seconds"]
    keys = ("candidates", "forward_passes", "backward_passes")
    counted = [_counted(cost[key], key) for key in keys if cost.get(key)]
    resumed = ["continued from an interrupted run whose seconds aren't counted"] if record.get("resumed") else []
    return ", ".join([f"{seconds['total']:.1f} s (search {seconds['search']:.1f} s)", *counted, *resumed])


def _counted(n: int | float, key: str) -> str:
    """A number of things, with their name.

    >>> _counted(1, "forward_passes"), _counted(1200, "candidates")
    ('1 forward pass', '1,200 candidates')
    """
    name = key.replace("_", " ")
    return f"{n:,} {name.removesuffix('s').removesuffix('e') if n == 1 and name.endswith('passes') else name}"


def _shown(value: object) -> str:
    """A piece of evidence: a word, a count or a measured number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _number(value) if value is None or isinstance(value, float) else str(value)


def _number(value: float | int | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}" if digits == 2 else f"{value:.{digits}g}"
