"""An explanation as a value: in words, as frames, and in files."""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.circuits.circuit import Circuit
from acdc.errors import FileError, printable
from acdc.evaluation.numbers import number
from acdc.files import read_bytes, write_atomically, write_csv
from acdc.interpret.explanation import Explanation, NodeCard, ProbeTable, Steering
from acdc.interpret.probe_words import probe_lines
from acdc.interpret.telling import interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EXPLANATION", "TABLES", "Explained", "load_explanation"]

EXPLANATION, TABLES = "explanation.json", "explanation"
SHOWN = 12  # nodes of a summary
LONGEST = 2000  # letters of a line
Line = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Explained:
    """What a circuit does.

    Attributes:
        circuit: The circuit, as it was.
        explanation: All that was found, as `explanation.json` holds it.
        path: The folder it was written to; None if nothing was.
        files: What was written.
    """

    circuit: Circuit
    explanation: Explanation
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def nodes_frame(self) -> "pd.DataFrame":
        """One row a node: effect and direct effect with their intervals, roles, what it looks at and, of a circuit
        whose edges are split, the spans at which they enter and leave it."""
        import pandas as pd

        return pd.DataFrame([_row(card) for card in self.explanation.nodes])

    def frames(self) -> "Mapping[str, pd.DataFrame]":
        """All tables, by the names of their files."""
        import pandas as pd

        said = self.explanation
        found = {"nodes": self.nodes_frame()}
        found["node_spans"] = pd.DataFrame([row for card in said.nodes for row in _span_rows(card)])
        for table in said.probes:
            found[f"probes_{table.label}"] = pd.DataFrame(list(_probe_rows(table)))
        if said.steering:
            found["steering"] = pd.DataFrame([row for table in said.steering for row in _steering_rows(table)])
        if said.agreement is not None:
            cells = {name: [row[i] for row in said.agreement.values] for i, name in enumerate(said.agreement.columns)}
            frame = pd.DataFrame({"node": said.agreement.nodes, **cells})
            found["agreement"] = frame.assign(verdict=said.agreement.verdicts or None)
        return {name: frame for name, frame in found.items() if len(frame)}

    def summary(self) -> str:
        """The explanation in some lines of plain text."""
        said = self.explanation
        lines = [f"Question: {said.question}", f"Answer: {said.answer}", *_listed("Certain", said.certain)]
        lines += [*_listed("Not certain", said.uncertain), *_nodes(said)]
        lines += [line for table in said.probes for line in probe_lines(table)]
        lines += [*_steered(said), *_agreed(said), *_listed("Notes", said.notes)]
        return "\n".join(_safe(line) for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """What `explanation.json` holds, and where it is."""
        files = [str(file) for file in self.files]
        return {**self.explanation.model_dump(), "path": None if self.path is None else str(self.path), "files": files}

    def write(self, folder: Path) -> "Explained":
        """Write `explanation.json` and, beside it, a folder of tables.

        Raises:
            FileError: A file can't be written.
        """
        content = self.explanation.model_dump_json(indent=1).encode()
        files = [write_atomically(folder / EXPLANATION, content)]
        (folder / TABLES).mkdir(exist_ok=True)
        files += [write_csv(folder / TABLES / f"{name}.csv", frame) for name, frame in self.frames().items()]
        return replace(self, path=folder, files=tuple(files))

    def __repr__(self) -> str:
        return f"Explained({self.circuit!r}; {len(self.explanation.nodes)} nodes)"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The sentences, and the nodes as a table, for notebooks."""
        return f"<pre>{html.escape(self.summary())}</pre>{self.nodes_frame().to_html(escape=True, index=False)}"


def load_explanation(path: Path) -> Explanation:
    """Read an `explanation.json`.

    Raises:
        FileError: It can't be read, or isn't one.
    """
    try:
        return Explanation.model_validate_json(read_bytes(path))
    except ValueError as error:
        raise FileError(f"{path} holds no explanation, or is damaged: {printable(str(error), 200)}") from None


def _safe(line: str) -> str:
    """A line whose tokens can't move a terminal's cursor; its indentation stays."""
    text = line.lstrip(" ")
    return " " * (len(line) - len(text)) + printable(text, LONGEST)


def _row(card: NodeCard) -> dict[str, Any]:
    row: dict[str, Any] = {"node": card.name, "kind": card.kind, "layer": card.layer}
    for name in ("effect", "direct"):
        found = getattr(card, name)
        row |= {name: found and found.value, f"{name}_low": found and found.low, f"{name}_high": found and found.high}
    verdict = {True: "holds", False: "fails", None: "not tested"}
    row["roles"] = "; ".join(f"{claim.role} ({verdict[claim.holds]})" for claim in card.claims)
    row["attends"] = "; ".join(f"{name} {share:.2f}" for name, share in card.attends)
    if card.reads_at or card.writes_at:
        row["reads_at"] = "; ".join(f"{kind} {', '.join(at)}".strip() for kind, at in card.reads_at.items())
        row["writes_at"] = ", ".join(card.writes_at)
    return row


def _span_rows(card: NodeCard) -> Iterator[dict[str, Any]]:
    for span, found in card.spans.items():
        yield {"node": card.name, "span": span, "effect": found.value, "low": found.low, "high": found.high}


def _probe_rows(table: ProbeTable) -> Iterator[dict[str, Any]]:
    grids = {name: getattr(table, name) for name in ("accuracy", "low", "high", "control", "causal")}
    for i, stream in enumerate(table.rows):
        for j, place in enumerate(table.columns):
            cells = {name: grid[i][j] if grid else None for name, grid in grids.items()}
            yield {"stream": stream, "place": place, **cells, "majority": table.majority}


def _steering_rows(table: Steering) -> Iterator[dict[str, Any]]:
    for strength, found, kl in zip(table.strengths, table.metric, table.neutral_kl, strict=True):
        yield {
            "direction": table.direction,
            "site": table.site,
            "strength": "ablated" if strength is None else strength,
            table.metric_name or "metric": found.value,
            "low": found.low,
            "high": found.high,
            "neutral_kl": kl,
        }


def _listed(title: str, sentences: list[str]) -> list[str]:
    return [f"{title}:", *(f"  - {each}" for each in sentences)] if sentences else []


def _nodes(said: Explanation) -> Iterator[str]:
    """The nodes that matter most, a sentence each."""
    known = [card for card in said.nodes if card.sentence and card.kind in ("head", "mlp")]
    ranked = sorted(known, key=lambda card: -abs(card.effect.value or 0.0) if card.effect else 0.0)
    if ranked:
        yield f"Nodes (the first {SHOWN} of {len(ranked)} by effect):" if len(ranked) > SHOWN else "Nodes:"
    yield from (f"  {card.name:<8}{card.sentence}" for card in ranked[:SHOWN])


def _agreed(said: Explanation) -> Iterator[str]:
    """Rank correlations of the ways to measure, and the verdicts on the nodes that are in the summary."""
    table = said.agreement
    if table is None:
        return
    pairs = [
        f"{a} / {b} {number(table.correlations[i][j])}"
        for i, a in enumerate(table.columns)
        for j, b in enumerate(table.columns)
        if i < j and table.correlations[i][j] is not None
    ]
    yield f"Agreement of ways to measure, over {len(table.nodes)} nodes (Spearman): {', '.join(pairs) or 'not defined'}"
    yield from (f"  {name:<8}{each}" for name, each in list(zip(table.nodes, table.verdicts, strict=True))[:SHOWN])


def _steered(said: Explanation) -> Iterator[str]:
    for table in said.steering:
        yield f"Steering by {table.direction}, {table.site}:"
        for strength, found, kl in zip(table.strengths, table.metric, table.neutral_kl, strict=True):
            name = "ablated" if strength is None else f"x {strength:g}"
            aside = "" if kl is None else f", neutral text moves by {number(kl)} nats"
            yield f"  {name:<8}{table.metric_name} {interval(found)}{aside}"
