"""What probes found, in words: where a label is read that the token there doesn't already say, and where it is used."""

from collections.abc import Iterator

from acdc.evaluation.numbers import number
from acdc.interpret.explanation import Grid, ProbeTable

__all__ = ["probe_lines", "trivial_columns"]

EMBEDDING = "resid_pre 0"


def trivial_columns(table: ProbeTable) -> list[int]:
    """The places where the embedded token itself tells the label: a probe of the embedding there beats the majority.

    Its accuracy counts where its whole 95% interval lies above the majority.
    """
    if EMBEDDING not in table.rows or not table.low:
        return []
    embedded = table.low[table.rows.index(EMBEDDING)]
    return [j for j, low in enumerate(embedded) if low is not None and low > table.majority]


def probe_lines(table: ProbeTable) -> Iterator[str]:
    """Where the label can be read off the token, where the model has put it, and where it is used most."""
    trivial = trivial_columns(table)
    others = [j for j in range(len(table.columns)) if j not in trivial]
    yield f"Probes: label {table.label!r} ({' / '.join(table.classes)}), {table.n_test} held-out prompts"
    if trivial:
        yield f"  the token itself tells it at {', '.join(table.columns[j] for j in trivial)}: no layer is needed there"
    if best := _first_of_the_largest(table.accuracy, others):
        yield f"  {'elsewhere ' if trivial else ''}it is read best, and there first, at {_read(table, *best)}"
    if used := _first_of_the_largest(table.causal, list(range(len(table.columns)))):
        i, j = used
        yield (
            f"  taking it away costs most at {table.rows[i]}, {table.columns[j]}: {number(table.causal[i][j])} of the "
            "metric's difference"
        )


def _read(table: ProbeTable, i: int, j: int) -> str:
    """A cell with what its accuracy is to be held against."""
    accuracy, control = table.accuracy[i][j], table.control[i][j] if table.control else None
    against = {"embedding there": _at_embedding(table, j), "majority": table.majority, "control": control}
    if accuracy is not None and control is not None:
        against["selectivity"] = accuracy - control
    said = ", ".join(f"{name} {number(value)}" for name, value in against.items() if value is not None)
    return f"{table.rows[i]}, {table.columns[j]}: accuracy {number(accuracy)} ({said})"


def _at_embedding(table: ProbeTable, j: int) -> float | None:
    """The accuracy of a probe of the embedded token."""
    return table.accuracy[table.rows.index(EMBEDDING)][j] if EMBEDDING in table.rows else None


def _first_of_the_largest(grid: Grid, columns: list[int]) -> tuple[int, int] | None:
    """The cell with the largest value, of equals the one in the earliest layer."""
    cells = [(-value, i, j) for i, row in enumerate(grid) for j in columns if (value := row[j]) is not None]
    return None if not cells else min(cells)[1:]
