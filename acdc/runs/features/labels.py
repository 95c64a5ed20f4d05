"""What nodes of a feature circuit are called: by a reader's own labels, or by the rules of what was read before."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from acdc.errors import FileError, RunError, printable
from acdc.features.circuits import FeatureCircuit, NodeName
from acdc.features.circuits.masks import checked_node
from acdc.features.circuits.placed import Placed
from acdc.features.dictionary import Dictionary
from acdc.features.reading import rule_of
from acdc.files import read_bytes
from acdc.runs.features.kept_readings import readings_of

__all__ = ["called", "check_labels", "labelled", "labels_in"]

MOST_RULES = 150  # nodes, the strongest, whose rules are looked for and tested


def labels_in(path: str | os.PathLike[str]) -> dict[str, str]:
    """Labels by node, from a CSV file with the columns `node` and `label`, like an edited `nodes.csv`; rows without a
    label are passed over.

    Raises:
        FileError: The file can't be read, or has other columns.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""))
        if not {"node", "label"} <= set(rows.fieldnames or ()):
            raise FileError(f"{path} must have the columns node and label; it has {', '.join(rows.fieldnames or ())}")
        return {row["node"] or "": row["label"] for row in rows if row["label"]}
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no CSV file: {error}") from None


def check_labels(labels: Mapping[str, str], placed: Placed, spans: tuple[str, ...]) -> None:
    """Refuse labels of what isn't there.

    Raises:
        CircuitError: A name isn't a node's, or no dictionary has such a feature.
        RunError: A label is no text.
    """
    for name, label in labels.items():
        checked_node(placed, spans, NodeName.parse(name))
        if not isinstance(label, str) or not label.strip():
            raise RunError(f"the label of {name} must be a text, not {printable(repr(label), 40)}")


def called(words: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Nodes by their names, or all that have a label."""
    found = {word: [name for name, label in labels.items() if label == word] for word in words}
    return [name for word in words for name in found[word] or [word]]


def labelled(
    circuit: FeatureCircuit,
    dictionaries: Sequence[Dictionary],
    own: Mapping[str, str],
    out: str | os.PathLike[str],
) -> FeatureCircuit:
    """The circuit with its features' labels.

    Args:
        own: By node; one that names no span is meant at all of them.
        out: Below which features were read: see `acdc.runs.features.kept_readings`. A rule that failed its test is no
            label.
    """
    known = zip(dictionaries, readings_of(dictionaries, out), strict=True)
    readings = {each.writes[0]: reading for each, reading in known if reading is not None}
    found = dict[str, str]()
    for rank, name in enumerate(circuit.names):
        label = own.get(str(name)) or own.get(str(replace(name, span="")))
        if label is None and name.index is not None and name.site in readings and rank < MOST_RULES:
            rule = rule_of(readings[name.site], name.index)
            label = None if rule is None or rule.test.holds is False else rule.text
        if label:
            found[str(name)] = label
    return replace(circuit, labels=found)
