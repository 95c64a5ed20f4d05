"""A prompt's attribution graph from a model's and dictionaries' names, in a folder: the graph, tables, a picture and a
page."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from acdc.circuits.flow import EDGE_SHARE, NODE_SHARE
from acdc.drawing import draw
from acdc.errors import FileError
from acdc.features.attribution_graphs import (
    AttributionGraph,
    load_graph,
    save_graph,
    strongest_paths,
    trace,
)
from acdc.features.attribution_graphs import Path as GraphPath
from acdc.features.attribution_graphs.graph import check_shares
from acdc.features.dictionary import Dictionary
from acdc.features.formats import check_named, load_set
from acdc.features.reading import FeatureReading
from acdc.features.reading.read import features_hash
from acdc.features.similarity import alike_in_trace, check_cut
from acdc.files import write_csv, write_json
from acdc.options.defaults import ALIKE, MEMORY, OUT
from acdc.options.sizes import size_of
from acdc.progress.bars import Progressing
from acdc.report.graph_page import write_graph_page
from acdc.report.trace_page import document_of, findings_of_trace
from acdc.runs.features.kept_readings import readings_of
from acdc.runs.fingerprint import dictionary_hash, model_identity, run_fingerprint
from acdc.runs.folders import check_writable, runs_folder
from acdc.runs.model_spec import ModelSpec
from acdc.runs.page import PAGE
from acdc.runs.patching_files import slug
from acdc.version import __version__

__all__ = ["GRAPH", "MOST_DRAWN", "TRACE", "TracedPrompt", "open_graph", "trace_prompt", "write_trace"]

logger = logging.getLogger(__name__)

GRAPH, TRACE = "graph.json", "trace.json"
MOST_DRAWN = 150  # edges of the picture


@dataclass(frozen=True, eq=False)
class TracedPrompt:
    """An attribution graph, and where it was written.

    Attributes:
        graph: What carries most of the influence, with the whole graph's scores; of a file, what it holds. The whole
            graph is not kept: `acdc.features.attribution_graphs.trace` gives it.
        n_nodes, n_edges: Of the whole graph.
        paths: Its strongest paths.
        record: What was asked, of which model and dictionaries; empty of a file.
        path: The folder; None if nothing was to be written.
    """

    graph: AttributionGraph
    n_nodes: int
    n_edges: int
    paths: tuple[GraphPath, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, graph: AttributionGraph, n_paths: int) -> "TracedPrompt":
        """A graph that a file held."""
        return cls(graph, len(graph.nodes), graph.n_edges, strongest_paths(graph, n_paths))

    def to_dict(self) -> dict[str, Any]:
        """Its figures and paths, as JSON holds them."""
        graph = self.graph
        logits = [node for node in graph.nodes if node.kind == "logit"]
        logits.sort(key=lambda node: -(node.probability or 0.0))
        return {
            "prompt": graph.prompt,
            "model": graph.model,
            "dictionaries": list(graph.dictionaries),
            "logits": [{"token": node.text, "probability": node.probability, "value": node.value} for node in logits],
            "n_nodes": self.n_nodes,
            "n_edges": self.n_edges,
            "n_active": graph.n_active,
            "left_out": graph.left_out,
            "replacement": graph.replacement,
            "completeness": graph.completeness,
            "pruned": {"n_nodes": len(graph.nodes), "n_edges": graph.n_edges, "shares": graph.pruning},
            "paths": [
                {"share": path.share, "sign": path.sign, "nodes": [node.id for node in path.nodes]}
                for path in self.paths
            ],
            "notes": list(graph.notes),
        }


def trace_prompt(
    model: Any,
    prompt: str,
    dictionaries: Sequence[Dictionary | str | Path] = (),
    *,
    nodes: float = NODE_SHARE,
    edges: float = EDGE_SHARE,
    n_paths: int = 10,
    memory: int | str | None = None,
    alike: float = ALIKE,
    out: str | Path | None = OUT,
    progress: Progressing = None,
    tokenizer: Any = None,
    options: dict[str, Any] | None = None,
    **loading: Any,
) -> TracedPrompt:
    """Trace a prompt: see `acdc.features.attribution_graphs.trace`.

    Args:
        model, tokenizer, loading: As for `acdc.discover`.
        dictionaries: Transcoders, or names of sets of them; none: heads and MLPs are the nodes.
        nodes, edges: Shares of influence by which it is pruned.
        alike: Features of one layer and token whose mean similarity is at least this are one group of the page: see
            `acdc.features.similarity`.
        options: `max_features`, `max_logits`, `probability`, `mlps` and `bos` of `trace`.
        out: Where the folder is made; None writes nothing.
        progress: True for a bar.

    Raises:
        ACDCError: An argument, the model or a dictionary can't be used, or a file can't be written.
    """
    check_shares(nodes, edges)
    check_cut(alike)
    bound = size_of("memory", memory) or MEMORY
    if out is not None:
        check_writable(Path(out))
    for each in dictionaries:
        if not isinstance(each, Dictionary):
            check_named(each)
    spec = ModelSpec.of(model, tokenizer=tokenizer, **loading)
    patchable = spec.load()
    sets = [(each,) if isinstance(each, Dictionary) else load_set(each, model=patchable) for each in dictionaries]
    loaded = [each for found in sets for each in found]
    told = options or {}
    graph = trace(patchable, prompt, loaded, memory=bound, progress=progress, **told)
    n_nodes, n_edges, graph = len(graph.nodes), graph.n_edges, graph.pruned(nodes, edges)
    graph = replace(graph, alike=alike_in_trace(graph, loaded, alike))
    asked = {"prompt": prompt, "shares": [nodes, edges], "alike": alike, **told}
    record = {"arguments": asked, "model": model_identity(patchable), "dictionaries": [_identity(d) for d in loaded]}
    found = TracedPrompt(graph, n_nodes, n_edges, strongest_paths(graph, n_paths), record)
    if out is None:
        return found
    name = f"{slug(prompt)[:40]}-{run_fingerprint(record)[:10]}"
    known = zip(loaded, readings_of(loaded, out), strict=True)
    readings = {each.reads.layer: reading for each, reading in known if reading is not None}
    return write_trace(found, runs_folder(out, "traces", spec.name, name), readings)


def _identity(dictionary: Dictionary) -> dict[str, Any]:
    """What a dictionary is; a decoder that stays in its file is known by its place."""
    if isinstance(dictionary.decoder, Tensor):
        return {"name": dictionary.name, "sha256": dictionary_hash(dictionary)}
    return {"name": dictionary.name, "features_sha256": features_hash(dictionary)}


def open_graph(path: str | Path, *, n_paths: int = 10, out: str | Path | None = None) -> TracedPrompt:
    """An attribution graph's file, of ours or another tool's, with its strongest paths.

    Args:
        out: A folder for its tables and picture; None writes nothing.

    Raises:
        FileError: It can't be read, or a file can't be written.
    """
    graph = load_graph(path)
    found = TracedPrompt.of(graph, n_paths)
    return found if out is None else write_trace(found, Path(out))


def write_trace(
    found: TracedPrompt,
    folder: Path,
    readings: Mapping[int, FeatureReading] | None = None,
    name: str = GRAPH,
) -> TracedPrompt:
    """The graph as `name`, its tables, its page and a picture, in a folder that is made.

    Args:
        readings: What is known of the features, by layer.

    Raises:
        FileError: A file can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make {folder}: {error.strerror or error}") from None
    findings = findings_of_trace(found.graph, readings)
    graph = found.graph.labelled({card.name: card.label for card in findings.cards if card.label})
    found = replace(found, graph=graph, paths=strongest_paths(graph, len(found.paths)))
    findings = replace(findings, document=document_of(graph))  # with the labels
    files = [
        save_graph(graph, folder / name),
        write_csv(folder / "nodes.csv", graph.node_frame()),
        write_csv(folder / "edges.csv", graph.frame()),
        write_graph_page(folder / PAGE, findings),
    ]
    if found.record:
        record = {"made_with": f"acdc {__version__}", **found.record, "found": found.to_dict()}
        files.append(write_json(folder / TRACE, record))
    try:
        files += draw(graph.strongest(MOST_DRAWN).weighted(grouped=True), folder / "graph.svg")
    except FileError:
        raise
    except Exception as error:  # what was traced is not lost for a picture
        logger.warning("the graph could not be drawn: %s", error)
    return replace(found, path=folder, files=tuple(files))
