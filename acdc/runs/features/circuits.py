"""Feature circuits from a model's, a task's and dictionaries' names, kept in a folder and drawn.

`<out>/<task>/<model>/features/circuit-<id>/`, the same for the same arguments, holds `feature_circuit.json` (read by
`acdc.features.circuits.load_feature_circuit`), `nodes.csv` and `edges.csv`, `evidence.json` (what was asked, the
numbers on held-out prompts, what taking features out does), a picture, and the page `report.html`. Until they are there
it holds the steps that are finished (`unfinished/`), so that a stopped search goes on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acdc.drawing import draw
from acdc.errors import ACDCError, FileError, RunError
from acdc.features import Dictionary, load_set
from acdc.features.circuits import FeatureCircuit, FeatureEvidence, NodeName
from acdc.features.circuits.finding import check_options, full_options
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.shift import checked_features
from acdc.features.circuits.steps import afresh
from acdc.features.formats import check_named
from acdc.features.similarity import check_cut
from acdc.files import write_csv, write_json
from acdc.models import PatchableModel
from acdc.options.defaults import ALIKE, N_HELD_OUT, N_PROMPTS, OUT, POSITIONS, SEED
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.report.feature_circuit_page import findings_of_circuit
from acdc.report.graph_page import write_graph_page
from acdc.runs.arguments import resolve_arguments
from acdc.runs.features.circuit_search import CIRCUIT, EVIDENCE, FoundFeatures, Search
from acdc.runs.features.kept_readings import readings_of
from acdc.runs.features.labels import called, check_labels, labelled
from acdc.runs.finished_steps import FinishedSteps
from acdc.runs.folders import check_writable
from acdc.runs.page import PAGE
from acdc.runs.parity import check_parity

__all__ = ["FoundFeatures", "feature_circuit", "write_shown"]

logger = logging.getLogger(__name__)
DRAWN = 80  # edges of a picture


def feature_circuit(
    model: Any,
    task: Any,
    dictionaries: Sequence[str | Path | Dictionary],
    *,
    without: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
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
            `mlp_out.5/123`, or a label that some have.
        labels: Your own labels of features, by names; others are called by the rules that were read before of them
            (`acdc features`, in the same `out`).
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
    own = dict(labels or {})
    without = called(without, own)
    for name in without:
        NodeName.parse(name)
    arguments = resolve_arguments(model, task, metric=metric, positions=positions, n=n, seed=seed, **(loading or {}))
    if out is not None:
        check_writable(Path(out).expanduser())
    for each in dictionaries:
        if not isinstance(each, Dictionary):
            check_named(each)
    with shown(progress) as tell:
        announce(tell, f"loading {arguments.model.name}")
        loaded = arguments.model.load()
        read = [each for given in dictionaries for each in _read(given, loaded)]
        problem = arguments.problem(loaded, engines=())
        check_parity(problem)
        for note in problem.batch.notes:
            logger.warning("%s", note)
        placed = Placed.on(loaded, read)  # what can't be used is told before long work begins
        check_labels(own, placed, problem.batch.spans)
        if without:
            checked_features(placed, problem.batch.spans, without)
        search = Search(arguments, problem, read, full_options(options), tuple(without), n_held_out, alike)
        if out is None:
            return _labelled(search.found(afresh, tell), read, own, OUT, tell)
        folder = search.folder(Path(out))
        step = FinishedSteps(folder, search.identity)
        if step.are_there:
            logger.info("continuing the unfinished search in %s", folder)
        before = search.before(folder)
        try:
            found = search.found(step, tell, before)
        except FileError:  # like a full disk: it says nothing of the search
            raise
        except ACDCError:  # it would fail again in the same place
            step.discard()
            raise
        found = _labelled(found, read, own, out, tell)
    written = _written(found, read, Path(out), folder, search.identity)
    step.discard()
    return written


def _read(given: str | Path | Dictionary, model: PatchableModel) -> Sequence[Dictionary]:
    return [given] if isinstance(given, Dictionary) else load_set(given, model=model)


def _labelled(
    found: FoundFeatures, read: Sequence[Dictionary], own: Mapping[str, str], out: str | Path, tell: Tell | None
) -> FoundFeatures:
    announce(tell, "labels of features")
    return replace(found, circuit=labelled(found.circuit, read, own, out))


def _written(found: FoundFeatures, read: Sequence[Dictionary], out: Path, folder: Path, identity: str) -> FoundFeatures:
    """The circuit, in its folder.

    Raises:
        FileError: A file can't be written.
    """
    circuit, record = found.circuit, found.record
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make {folder}: {error.strerror or error}") from None
    files = [
        circuit.save(folder / CIRCUIT),
        write_csv(folder / "nodes.csv", circuit.frame()),
        write_csv(folder / "edges.csv", circuit.edges_frame()),
        write_json(
            folder / EVIDENCE, {"fingerprint": identity} | found.numbers()
        ),  # last of the numbers: a folder that has it is finished
    ]
    files += write_shown(circuit, found.evidence, read, out, folder)
    return FoundFeatures(circuit, found.evidence, found.shift, record, folder, tuple(files))


def write_shown(
    circuit: FeatureCircuit,
    evidence: FeatureEvidence | None,
    dictionaries: Sequence[Dictionary],
    out: str | Path,
    folder: Path,
) -> list[Path]:
    """The page, with what was read before below `out` of the dictionaries' features, and a picture.

    Raises:
        FileError: A file can't be written.
    """
    known = zip(dictionaries, readings_of(dictionaries, out), strict=True)
    readings = {str(each.writes[0]): reading for each, reading in known if reading is not None}
    found = findings_of_circuit(circuit, evidence, readings)
    files = [write_graph_page(folder / PAGE, found)]
    try:
        files += draw(circuit.graph(most=DRAWN, grouped=True), folder / "feature_circuit.svg")
    except FileError:
        raise
    except Exception as error:  # what was measured is not lost for a picture
        logger.warning("the circuit could not be drawn: %s", error)
    return files
