"""Groups of nodes made by hand: saved in a feature circuit's or an attribution graph's file, whose page and picture are
made again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from acdc.circuits.supernodes import Supernodes, parsed
from acdc.errors import ACDCError, CircuitError, FileError, shown, unknown_name
from acdc.features import Dictionary, load, load_set
from acdc.features.attribution_graphs import AttributionGraph, load_graph
from acdc.features.circuits import FeatureCircuit, FeatureEvidence, load_feature_circuit
from acdc.features.circuits.circuit import FORMAT
from acdc.features.circuits.finding import record_of
from acdc.files import as_dataclass, read_json
from acdc.options.defaults import OUT
from acdc.runs.features.attribution_graph import GRAPH, TRACE, TracedPrompt, write_trace
from acdc.runs.features.circuit_search import CIRCUIT, EVIDENCE
from acdc.runs.features.circuits import write_shown
from acdc.runs.features.kept_readings import readings_of
from acdc.runs.features.reading import READINGS
from acdc.runs.fingerprint import dictionary_hash

__all__ = ["Grouped", "group_nodes", "groups_in"]

Grouping = TypeVar("Grouping", FeatureCircuit, AttributionGraph)


@dataclass(frozen=True, eq=False)
class Grouped:
    """A file with its groups, and what was written."""

    graph: FeatureCircuit | AttributionGraph
    files: tuple[Path, ...]

    @property
    def supernodes(self) -> Supernodes:
        """The groups: lists of a name and nodes."""
        return self.graph.supernodes


def group_nodes(
    file: str | Path,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    without: Sequence[str] = (),
    only: bool = False,
    dictionaries: Sequence[str | Path | Dictionary] | None = None,
    out: str | Path = OUT,
) -> Grouped:
    """Save groups in a file, and write its page and picture again beside it.

    Args:
        file: A feature circuit's or an attribution graph's JSON, or the folder that it was written to.
        groups: Nodes by their group's name. They leave the groups that they were in, and a name's old nodes its group.
        without: Names of groups to take apart.
        only: Of the groups that the file has, keep none.
        dictionaries: Those that the nodes are of, of which the page has what was read before. None: those that the file
            names, where they are still there and the same.
        out: Below which features were read.

    Raises:
        FileError: The file can't be read or written, or holds something else.
        CircuitError: A node isn't in the file, or in two groups; the circuit is of other dictionaries.
        UnknownNameError: A group to be taken apart isn't there.
    """
    path = _file(Path(file).expanduser())
    is_circuit = isinstance(told := read_json(path), dict) and told.get("format") == FORMAT
    if is_circuit:
        circuit = _regrouped(load_feature_circuit(path), groups or {}, without, only)
        read = _named_in(circuit, out) if dictionaries is None else _all_of(dictionaries)
        _check_same(circuit, read)
        evidence = _evidence(path.parent / EVIDENCE)
        return Grouped(circuit, (circuit.save(path), *write_shown(circuit, evidence, read, out, path.parent)))
    found = _regrouped(load_graph(path), groups or {}, without, only)
    read = _traced_in(path.parent, out) if dictionaries is None else _all_of(dictionaries)
    known = zip(read, readings_of(read, out), strict=True)
    readings = {each.reads.layer: reading for each, reading in known if reading is not None}
    written = write_trace(TracedPrompt.of(found, 1), path.parent, readings, path.name)
    return Grouped(found, written.files)


def _file(path: Path) -> Path:
    """The file that is meant: of a folder, the one that was written to it."""
    if not path.is_dir():
        return path
    for name in (CIRCUIT, GRAPH):
        if (path / name).is_file():
            return path / name
    raise FileError(f"{path} holds neither {CIRCUIT} nor {GRAPH}: name a file")


def _regrouped(found: Grouping, groups: Mapping[str, Sequence[str]], without: Sequence[str], only: bool) -> Grouping:
    names = [name for name, *_ in found.supernodes]
    for name in without:
        if name not in names:
            raise unknown_name("group", name, names)
    left = tuple(each for each in found.supernodes if not only and each[0] not in without)
    return replace(found, supernodes=left).with_supernodes(groups)


def _all_of(given: Sequence[str | Path | Dictionary]) -> list[Dictionary]:
    return [x for each in given for x in ([each] if isinstance(each, Dictionary) else load_set(each))]


def _named_in(circuit: FeatureCircuit, out: str | Path) -> list[Dictionary]:
    """The circuit's dictionaries, as far as they are found by its names."""
    known = [(record.name, record.reads, record.sha256) for record in circuit.dictionaries]
    return _found(known, out, lambda each: record_of(each).sha256)


def _traced_in(folder: Path, out: str | Path) -> list[Dictionary]:
    """The same of an attribution graph, by what was written beside it."""
    told = read_json(folder / TRACE) if (folder / TRACE).is_file() else None
    records = told.get("dictionaries") if isinstance(told, dict) else None
    known = [(each["name"], None, each["sha256"]) for each in records or ()]
    return _found(known, out, dictionary_hash)


def _found(
    known: Iterable[tuple[str, str | None, str]], out: str | Path, hash_of: Callable[[Dictionary], str]
) -> list[Dictionary]:
    """Dictionaries of these names, sites and hashes; of none where nothing was read before."""
    found: list[Dictionary] = []
    if not (Path(out).expanduser() / READINGS).is_dir():
        return found
    for name, site, sha256 in known:
        try:
            each = load(name, site=site)
        except ACDCError:
            continue
        if hash_of(each) == sha256:
            found.append(each)
    return found


def _check_same(circuit: FeatureCircuit, dictionaries: Sequence[Dictionary]) -> None:
    known = {record.sha256 for record in circuit.dictionaries}
    for each in dictionaries:
        if record_of(each).sha256 not in known:
            its = ", ".join(record.name for record in circuit.dictionaries)
            raise CircuitError(f"the circuit's nodes are not of {each.name!r} but of {its}: name these")


def _evidence(path: Path) -> FeatureEvidence | None:
    """What was measured of the circuit, from beside it."""
    if not path.is_file():
        return None
    told = read_json(path)
    found = told.get("evidence") if isinstance(told, dict) else None
    return None if found is None else as_dataclass(FeatureEvidence, found, what=f"{path} is damaged")


def groups_in(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Groups as a shell gives them, each `name=node,node`, or a file: a page's, or a list of lists of a name and nodes.

    Raises:
        CircuitError: Something else is given.
        FileError: A file can't be read, or holds something else.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        supernodes = _of_file(Path(text)) if Path(text).is_file() else (parsed(text),)
        for name, *nodes in supernodes:
            if name in found:
                raise CircuitError(f"two groups are called {shown(name)}: give each a name of its own")
            found[name] = tuple(nodes)
    return found


def _of_file(path: Path) -> Supernodes:
    value: Any = read_json(path)
    for key in ("qParams", "supernodes"):  # of Neuronpedia's graphs, and of circuits
        value = value.get(key, value) if isinstance(value, dict) else value
    if not isinstance(value, list) or not all(map(_is_group, value)):
        raise FileError(f"{path} holds no groups: each is a list of a name and nodes")
    return tuple(map(tuple, value))


def _is_group(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)
