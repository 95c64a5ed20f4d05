"""A finished run as a value, and the folder that it is read back from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.errors import FileError, RunError, printable
from acdc.evaluation.predictions import prediction_lines
from acdc.files import parse_json, read_bytes, validated
from acdc.runs.folders import CHECKPOINT, CIRCUIT, METRICS, RECORD
from acdc.runs.records import Metrics, Record
from acdc.runs.summary import facts, title

__all__ = ["RunResult", "load_run", "read_metrics", "read_record"]


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
        return load_run(path)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of `discover`, the method's options with their defaults included."""
        return self.record["arguments"]

    @property
    def cost(self) -> Mapping[str, Any]:
        """What the search took, as its method counts."""
        return self.record["cost"]

    @property
    def guarantees(self) -> Mapping[str, Any]:
        """What holds of the circuit by the way it was found."""
        return self.record.get("claims", {})

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the result must know, a sentence each: of the search, the metrics and the prompts."""
        return tuple(self.record.get("warnings", ()))

    def summary(self) -> str:
        """The run in a few lines of plain text."""
        named = facts(self.circuit, self.metrics, self.record)
        lines = [title(self.record), *_columns((printable(name, 60), printable(v, 1000)) for name, v in named.items())]
        return "\n".join([*lines, *(f"  warning: {printable(warning)}" for warning in self.warnings)])

    def predictions(self) -> str:
        """The most probable tokens of model, circuit and corrupted run on the first prompts, in plain text."""
        return "\n".join(_columns(line for each in self.metrics["predictions"] for line in prediction_lines(each)))

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

        named = facts(self.circuit, self.metrics, self.record).items()
        warnings = [("warning", warning) for warning in self.warnings]
        return facts_html(title(self.record), [*named, *warnings]) + html_circuit(self.circuit)

    def __repr__(self) -> str:
        where = "not saved" if self.path is None else str(self.path)
        return f"RunResult({self.circuit!r}, {where})"

    def __str__(self) -> str:
        return self.summary()


def load_run(path: str | Path) -> RunResult:
    """Read a finished run from its folder.

    Raises:
        RunError: There is no such folder, or it holds no run or an unfinished one.
        FileError: A file of it is damaged.
        CircuitError: Its circuit can't be read.
    """
    folder = Path(path).expanduser()
    _check_finished(folder)
    record, metrics = read_record(folder), read_metrics(folder)
    files = tuple(folder / name for name in record.get("files", []) if (folder / name).is_file())
    circuit = Circuit.load(folder / CIRCUIT)
    _check_of_one_run(folder, circuit, metrics, record)
    return RunResult(circuit, metrics, record, folder, files)


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


def _check_finished(folder: Path) -> None:
    if not folder.is_dir():
        raise RunError(f"there is no run folder {str(folder)!r}")
    if (folder / RECORD).is_file():
        return
    if (folder / CHECKPOINT).is_file():
        raise RunError(f"the run {str(folder)!r} is unfinished; the same command or call again finishes it")
    raise RunError(f"{str(folder)!r} is not a run folder: it has no {RECORD}")


def _check_of_one_run(folder: Path, circuit: Circuit, metrics: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raise `FileError` where a run's files were put together from several runs, or its circuit was edited."""
    arguments, same = record["arguments"], ("task_name", "method", "seed")
    others = any(circuit.provenance.get(name, arguments[name]) != arguments[name] for name in same)
    if others or metrics["n_edges"] != circuit.n_edges:
        raise FileError(
            f"the files in {folder} aren't of one run: {CIRCUIT} isn't the circuit that {METRICS} and {RECORD} tell "
            f"of; copy {CIRCUIT} elsewhere and give the copy"
        )


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Names and texts side by side."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0) + 2
    return [f"  {name:<{width}}{text}" for name, text in rows]
