"""What a file is that holds no circuit, by its content, so that a message can name it and say what to give instead."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from acdc.errors import FileError
from acdc.files import parse_json

__all__ = ["kind_of"]

PICKLE = (
    "is a pickle, and reading one can run any code, so none is read. Where it was made, write its edges as JSON: "
    "json.dump([[[c, ci.hashable_tuple, p, pi.hashable_tuple], e] for (c, ci, p, pi), e in edges], file)"
)
RUN = "give the run's folder, or the circuit.json in it"
FEATURES = (
    "is an attribution graph of features (circuit-tracer, Neuronpedia): its nodes are features, and a circuit's are "
    "heads and MLPs"
)
BYTES = {  # how files of other kinds start
    b"\x89PNG": "is a PNG picture; " + RUN,
    b"%PDF": "is a PDF picture; " + RUN,
    b"\x93NUMPY": "is a numpy array, which names no edges",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19": "",  # torch's older files, which are pickles
    b"\x80": PICKLE,
    b"\x1f\x8b": "is compressed by gzip; unpack it first",
}
# possessive, so that no hostile text makes them try again and again
GRAPHVIZ = re.compile(r"\s*+(?>//[^\n]*+\s*+|/\*.*?\*/\s*+)*+(?:strict\s++)?(?:di)?graph\b[^{};]*+\{", re.DOTALL)
ENDS = re.compile(r"\s*->\s*|[\s,]+")  # between the two ends of an edge, and its weight
WORD = re.compile(r"[-+\w.<>{}:'\"]+")
OTHER_TOOLS = re.compile(r"hook_|Resid |MLP \d|A\d+\.\d")  # names of lists that are read
HEADS = 4096  # letters and bytes of a file's beginning


def _is_mapping_with(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(key in value for key in keys)


def _is_feature_graph(value: Any) -> bool:
    nodes = value.get("nodes") if isinstance(value, dict) else None
    first = nodes[0] if isinstance(nodes, list) and nodes else None
    return isinstance(first, dict) and "links" in value and ("feature" in first or "feature_type" in first)


def _is_node_link(value: Any) -> bool:
    lists = isinstance(value, dict) and isinstance(value.get("nodes"), list)
    return lists and any(isinstance(value.get(key), list) for key in ("links", "edges"))


def _is_prompts(value: Any) -> bool:
    items = value if isinstance(value, list) else value.get("prompts") if isinstance(value, dict) else None
    first = items[0] if isinstance(items, list) and items else value
    return (
        isinstance(first, Mapping) and "clean" in first and any(k in first for k in ("corrupt", "corrupted", "correct"))
    )


JSON_KINDS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_is_feature_graph, FEATURES),
    (
        _is_node_link,
        "is a graph as networkx writes it (node-link JSON); write it as GraphML, or as a list of edge names",
    ),
    (_is_mapping_with("fingerprint", "arguments", "cost"), "is the record of a run (run.json); " + RUN),
    (_is_mapping_with("fingerprint", "settings", "parts"), "is an evaluation (evaluation.json); " + RUN),
    (_is_mapping_with("faithfulness", "kl"), "holds a run's metrics (metrics.json); " + RUN),
    (_is_mapping_with("circuits", "pairs"), "is a comparison (compare.json); give the runs or circuits compared"),
    (_is_mapping_with("model_type"), "is a model's configuration (config.json), not a circuit"),
    (_is_prompts, "is a file of prompts, not a circuit"),
)


def kind_of(content: bytes) -> str | None:
    """What a file that is in none of the formats of circuits is, as a sentence without its subject; None if unknown.

    >>> kind_of(b"digraph circuit { a -> b }")
    'is a Graphviz drawing; give the circuit.json that was drawn'
    """
    start = next((kind for sign, kind in BYTES.items() if content.startswith(sign)), None)
    if start is not None:
        return start or None
    if not content.strip():
        return "is empty"
    if b"\0" in content[:HEADS]:
        return None
    text = content.decode("utf-8-sig", errors="replace").lstrip()
    return _of_json(text) if text[:1] in ("{", "[") else _of_text(text)


def _of_json(text: str) -> str | None:
    try:
        value = parse_json(text, allow_nan=True)
    except FileError:
        return _of_json_lines(text)
    try:
        return next((kind for fits, kind in JSON_KINDS if fits(value)), None)
    except RecursionError:
        return None


def _of_json_lines(text: str) -> str | None:
    first = text.split("\n", 1)[0]
    try:
        return "is a file of prompts, not a circuit" if _is_prompts(parse_json(first)) else None
    except FileError:
        return None


def _of_text(text: str) -> str | None:
    head = text[:HEADS]
    if head.startswith("<"):
        if "<svg" in head:
            return "is an SVG picture; give the circuit.json that was drawn"
        return "is a web page" if "<html" in head.lower() else None
    if GRAPHVIZ.match(head):
        return "is a Graphviz drawing; give the circuit.json that was drawn"
    lines = [line for line in head.splitlines()[:50] if line.strip() and not line.lstrip().startswith("#")]
    if lines and re.match(r"(?:edge|src|source)\b[\w \"]*,", lines[0], re.IGNORECASE):
        return "is a table of edges (CSV), which doesn't say the model's shape; " + RUN
    lines = lines if len(text) <= HEADS else lines[:-1]  # the last one may be cut
    if lines and all(map(_is_edge, lines)) and not OTHER_TOOLS.search(head):
        return (
            "is a plain list of edges in no tool's names that are known; in Python, Circuit.from_edges(graph, names) "
            "takes names like 'a0.h1->a1.h0<q>'"
        )
    return None


def _is_edge(line: str) -> bool:
    words = ENDS.split(line.strip())
    return 2 <= len(words) <= 6 and all(map(WORD.fullmatch, words))
