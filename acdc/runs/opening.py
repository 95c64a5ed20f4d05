"""What the name of a run or of a circuit means: the circuit, what is recorded of it, and where its evaluation lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import read_circuit
from acdc.circuits.graph import Graph
from acdc.files import validated
from acdc.runs.catalog import find_run
from acdc.runs.fingerprint import HASHED
from acdc.runs.folders import CIRCUIT, EVALUATION, RECORD
from acdc.runs.records import Provenance
from acdc.runs.result import RunResult, load_run

__all__ = ["Opened", "open_circuit"]

OF_ARGUMENTS = (
    *("task", "task_name", "task_options", "task_sha256", "model", "method", "metric", "ablation", "direction"),
    "positions",
    *("n", "n_asked", "seed", "bos", "dtype", "device", "device_map", "revision", "trust_remote_code"),
)
OF_CIRCUIT = ("prompts_sha256", "claims", "resolved", "operation", "operands", "flipped_scores")


class Opened(NamedTuple):
    """A circuit; `arguments`, `model` (hashes), `prompts_sha256` and `resolved` as far as they are recorded; and the
    folder for its evaluation, if it was read from a place."""

    circuit: Circuit
    record: dict[str, Any]
    evaluation: Path | None


def open_circuit(run: str | Path | RunResult | Circuit, graph: Graph | None = None) -> Opened:
    """The circuit that `run` means.

    Args:
        run: A run's folder, a folder with runs (the newest), a circuit file in any format, a result, or a circuit.
        graph: The model's, for files that don't say its shape.

    Raises:
        ShapelessError: The file doesn't say the model's shape, and no graph is given.
        ACDCError: There is no such run or circuit, or it can't be read.
    """
    if isinstance(run, Circuit):
        return Opened(run, _record_of(run.provenance), None)
    if isinstance(run, RunResult):
        return _of_run(run)
    path = Path(run).expanduser()
    if not path.is_file():
        return _of_run(load_run(find_run(path)))
    if path.name == CIRCUIT and (path.parent / RECORD).is_file():
        return _of_run(load_run(path.parent))
    circuit = read_circuit(path, graph=graph)
    name = EVALUATION if path.name == CIRCUIT else f"{EVALUATION}-{path.stem}"
    return Opened(circuit, _record_of(circuit.provenance), path.parent / name)


def _of_run(run: RunResult) -> Opened:
    return Opened(run.circuit, dict(run.record), None if run.path is None else run.path / EVALUATION)


def _record_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A record, as far as a circuit's own provenance goes: there the arguments and the method's options lie flat.

    Raises:
        FileError: A value is not of its kind.
    """
    read = validated(Provenance, dict(provenance), what="what the circuit says of its origin is wrong")
    told = read.model_dump(exclude_unset=True)
    arguments = {name: told[name] for name in OF_ARGUMENTS if name in told}
    others = (*OF_ARGUMENTS, *OF_CIRCUIT, *HASHED)
    arguments["options"] = {name: value for name, value in told.items() if name not in others}
    hashes = {name: told[name] for name in HASHED if name in told} | {"dtype": told.get("dtype")}
    is_of_a_run = "operands" not in told  # a circuit that was made of others has no prompts of its own
    prompts = told.get("prompts_sha256") if is_of_a_run else None
    return {"arguments": arguments, "model": hashes, "prompts_sha256": prompts, "resolved": told.get("resolved", {})}
