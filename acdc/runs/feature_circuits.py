"""Feature circuits from a model's, a task's and dictionaries' names, kept in a folder and drawn.

`<out>/<task>/<model>/features/circuit-<id>/`, the same for the same arguments, holds `feature_circuit.json` (read by
`acdc.features.circuits.load_feature_circuit`), `nodes.csv` and `edges.csv`, `evidence.json` (what was asked, the
numbers on held-out prompts, what taking features out does), a picture, and the page `report.html`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acdc.drawing import draw
from acdc.errors import FileError, RunError
from acdc.features import Dictionary, load_set
from acdc.features.circuits import FeatureCircuit, FeatureEvidence, NodeName, Shift, evaluate, find, shift
from acdc.features.circuits.finding import check_options
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.shift import checked_features
from acdc.features.similarity import alike_in_circuit, check_cut
from acdc.files import write_csv, write_json
from acdc.models import PatchableModel
from acdc.options.defaults import ALIKE, N_HELD_OUT, N_PROMPTS, OUT, POSITIONS, SEED
from acdc.patching.problem import Problem
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.report.feature_circuit_page import findings_of_circuit
from acdc.report.graph_page import write_graph_page
from acdc.runs.arguments import Arguments, resolve_arguments
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import check_writable, runs_folder
from acdc.runs.page import PAGE
from acdc.runs.parity import check_parity
from acdc.runs.readings import readings_of
from acdc.version import __version__

__all__ = ["FoundFeatures", "feature_circuit", "write_shown"]

logger = logging.getLogger(__name__)
DRAWN = 80  # edges of a picture


@dataclass(frozen=True, eq=False)
class FoundFeatures:
    """A feature circuit, what it does on held-out prompts, and where it was written.

    Attributes:
        evidence: None if none was asked for.
        shift: What taking the named features out does, on the same prompts; None if none was named.
        record: What was asked.
        path: The folder; None if nothing was to be written.
    """

    circuit: FeatureCircuit
    evidence: FeatureEvidence | None
    shift: Shift | None
    record: dict[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return {"circuit": self.circuit.to_dict()} | _numbers(self.record, self.evidence, self.shift)


def feature_circuit(
    model: Any,
    task: Any,
    dictionaries: Sequence[str | Path | Dictionary],
    *,
    without: Sequence[str] = (),
    n: int = N_PROMPTS,
    n_held_out: int = N_HELD_OUT,
    metric: str | None = None,
    positions: str = POSITIONS,
    seed: int = SEED,
    alike: float = ALIKE,
    out: str | Path | None = OUT,
    loading: dict[str, Any] | None = None,
    progress: Progressing = False,
    **options: Any,
) -> FoundFeatures:
    """Find the features that a task needs, and measure them on held-out prompts.

    Args:
        model, task, metric, positions: As for `acdc.discover`.
        dictionaries: SAEs or transcoders: folders, names on the hub, or as they are. Of a folder of several, all.
        without: Features to take out of the model, on held-out prompts and on neutral text: names like
            `mlp_out.5/123`.
        n_held_out: Held-out prompts; 0: none.
        alike: Features of one site and span whose mean similarity is at least this are one group of the page: see
            `acdc.features.similarity`.
        out: Where the folder is made; None writes nothing.
        loading: `dtype`, `bos`, `task_options` and whatever else `acdc.discover` takes for loading.
        progress: True for a bar, or a function of a `Progress`.
        options: Those of `acdc.features.circuits.find`.

    Raises:
        ACDCError: An argument, the model, the task or a dictionary can't be used.
    """
    if not dictionaries:
        raise RunError("name the dictionaries whose features are the nodes (--dictionary FOLDER), at least one")
    if without and not n_held_out:
        raise RunError("what taking features out does is measured on held-out prompts: ask for some (--n-held-out)")
    check_options(options)
    check_cut(alike)
    for name in without:
        NodeName.parse(name)
    arguments = resolve_arguments(model, task, metric=metric, positions=positions, n=n, seed=seed, **(loading or {}))
    if out is not None:
        check_writable(Path(out).expanduser())
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded = arguments.model.load()
        read = [each for given in dictionaries for each in _read(given, loaded)]
        problem = arguments.problem(loaded, engines=())
        check_parity(problem)
        for note in problem.batch.notes:
            logger.warning("%s", note)
        if without:  # told before long work begins
            checked_features(Placed.on(loaded, read), problem.batch.spans, without)
        circuit = find(problem, read, memory=arguments.memory, progress=tell, **options)
        evidence, shifted = None, None
        if n_held_out:
            held_out = arguments.as_used(problem).problem(loaded, n=n_held_out, held_out=True, engines=())
            evidence = evaluate(circuit, held_out, read, seen=problem.batch, memory=arguments.memory, progress=tell)
            shifted = _without(held_out, read, without, arguments, tell)
    record = _record(arguments, problem, circuit, without, n_held_out)
    return _written(FoundFeatures(circuit, evidence, shifted, record), read, out, alike)


def _read(given: str | Path | Dictionary, model: PatchableModel) -> Sequence[Dictionary]:
    return [given] if isinstance(given, Dictionary) else load_set(given, model=model)


def _without(
    problem: Problem, read: Sequence[Dictionary], names: Sequence[str], arguments: Arguments, tell: Tell | None
) -> Shift | None:
    if not names:
        return None
    announce(tell, "taking features out")
    return shift(problem, read, names, bos=arguments.bos, memory=arguments.memory)


def _record(
    arguments: Arguments, problem: Problem, circuit: FeatureCircuit, without: Sequence[str], n_held_out: int
) -> dict[str, Any]:
    asked = {key: value for key, value in arguments.to_json().items() if key not in ("method", "options", "ablation")}
    return {
        "made_with": f"acdc {__version__}",
        "arguments": asked | {"without": list(without), "n_held_out": n_held_out},
        "dictionaries": circuit.to_dict()["dictionaries"],
        "ablation": circuit.ablation,
        "errors": circuit.errors,
        "settings": circuit.settings,
        "chosen_by": {
            key: value for key, value in circuit.told.items() if key in ("faithfulness_asked", "threshold", "n_nodes")
        },
        "prompts_sha256": circuit.prompts_sha256,
        "notes": list(problem.batch.notes),
    }


def _numbers(record: dict[str, Any], evidence: FeatureEvidence | None, shifted: Shift | None) -> dict[str, Any]:
    return {
        "record": record,
        "evidence": None if evidence is None else evidence.to_dict(),
        "without": None if shifted is None else shifted.to_dict(),
    }


def _written(found: FoundFeatures, read: Sequence[Dictionary], out: str | Path | None, alike: float) -> FoundFeatures:
    """The circuit, in its folder below `out`.

    Raises:
        FileError: A file can't be written.
    """
    if out is None:
        return found
    circuit, record = found.circuit, found.record
    folder = runs_folder(out, circuit.task, circuit.model, "features") / f"circuit-{fingerprint(record)[:10]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make {folder}: {error.strerror or error}") from None
    files = [
        circuit.save(folder / "feature_circuit.json"),
        write_csv(folder / "nodes.csv", circuit.frame()),
        write_csv(folder / "edges.csv", circuit.edges_frame()),
        write_json(folder / "evidence.json", _numbers(record, found.evidence, found.shift)),
    ]
    files += write_shown(circuit, found.evidence, read, out, folder, alike)
    return FoundFeatures(circuit, found.evidence, found.shift, record, folder, tuple(files))


def write_shown(
    circuit: FeatureCircuit,
    evidence: FeatureEvidence | None,
    dictionaries: Sequence[Dictionary],
    out: str | Path,
    folder: Path,
    alike: float = ALIKE,
) -> list[Path]:
    """The page, with what was read before below `out` of the dictionaries' features, and a picture.

    Raises:
        FileError: A file can't be written.
    """
    known = zip(dictionaries, readings_of(dictionaries, out), strict=True)
    readings = {str(each.writes[0]): reading for each, reading in known if reading is not None}
    found = findings_of_circuit(circuit, evidence, readings, alike_in_circuit(circuit, dictionaries, alike))
    files = [write_graph_page(folder / PAGE, found)]
    try:
        files += draw(circuit.graph(most=DRAWN, grouped=True), folder / "feature_circuit.svg")
    except FileError:
        raise
    except Exception as error:  # what was measured is not lost for a picture
        logger.warning("the circuit could not be drawn: %s", error)
    return files
