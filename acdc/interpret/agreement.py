"""Whether ways of measuring agree about nodes: one table, rank correlations, and where they disagree, what that says.

A node that is strong by every way is no artefact of one. Where ways differ, each difference has a reading:

    ablated it hurts, restored it brings nothing back     needed together with others (an AND): noising finds it
    restored it brings much back, ablated it hardly hurts  one of several that do the same (an OR): denoising finds it
    large direct effect, small effect                       what it writes is made up for downstream, or not needed
    large effect, small direct effect                       it acts through other nodes
    effect and attribution of opposite signs                a straight line doesn't fit: don't trust attribution there

Reference: Zhang & Nanda 2023 (arXiv 2309.16042) and Heimersheim & Nanda 2024 (arXiv 2404.15255), on noising and
denoising.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from acdc.errors import counted
from acdc.interpret.draft import number
from acdc.interpret.explanation import Agreement

__all__ = ["agreement"]

STRONG = 0.25  # a node is strong by a way if it is among this share of nodes
WEAK = 0.1  # and weak if it has less than this share of the strongest's size
LEAST = 4  # nodes, before ranks say anything


def agreement(nodes: Sequence[str], columns: Mapping[str, Mapping[str, float | None]]) -> Agreement:
    """The table of some nodes.

    Args:
        columns: By the name of a way, each node's number; positive where the node serves the task. None or missing: not
            measured. `effect`, `restores`, `direct` and `attribution` are read by the verdicts.
    """
    values = np.array([[_float(column.get(node)) for column in columns.values()] for node in nodes], dtype=float)
    values = values.reshape(len(nodes), len(columns))
    sizes = np.abs(values)
    return Agreement(
        columns=list(columns),
        nodes=list(nodes),
        values=[[number(x) for x in row] for row in values.tolist()],
        correlations=[[_spearman(a, b) for b in sizes.T] for a in sizes.T],
        verdicts=[_verdict(list(columns), values, sizes, i) for i in range(len(nodes))],
    )


def _float(value: float | None) -> float:
    return math.nan if value is None else value


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of the sizes that both have; None where they are few or all the same."""
    from scipy.stats import spearmanr

    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < LEAST:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant values the correlation isn't defined
        return number(float(spearmanr(a[both], b[both]).statistic))


def _verdict(columns: list[str], values: np.ndarray, sizes: np.ndarray, row: int) -> str:
    """By how many ways a node is strong, and what disagreements say."""
    known = [j for j in range(len(columns)) if not np.isnan(sizes[row, j])]
    strong = [columns[j] for j in known if _is_strong(sizes[:, j], row)]
    if not known:
        return "not measured"
    said = [f"strong by {len(strong)} of {counted(len(known), 'way')}" + (f" ({', '.join(strong)})" if strong else "")]
    return "; ".join([*said, *_readings(columns, values, sizes, row)])


def _readings(columns: list[str], values: np.ndarray, sizes: np.ndarray, row: int) -> Iterator[str]:
    def at(name: str) -> int | None:
        return columns.index(name) if name in columns and not np.isnan(values[row, columns.index(name)]) else None

    def differ(strong: str, weak: str) -> bool:
        a, b = at(strong), at(weak)
        return a is not None and b is not None and _is_strong(sizes[:, a], row) and _is_weak(sizes[:, b], row)

    effect, attribution = at("effect"), at("attribution")
    if effect is not None and _is_strong(sizes[:, effect], row) and values[row, effect] < 0:
        yield "it works against the task"
    if differ("effect", "restores"):
        yield "needed, but nothing comes back by it alone"
    if differ("restores", "effect"):
        yield "enough to bring something back, but not needed: others do the same"
    if differ("direct", "effect"):
        yield "what it writes to the answer is made up for, or not needed"
    if differ("effect", "direct"):
        yield "it acts through other nodes"
    if effect is not None and attribution is not None and _is_strong(sizes[:, effect], row):
        if values[row, effect] * values[row, attribution] < 0:
            yield "attribution has the wrong sign"
        elif _is_weak(sizes[:, attribution], row):
            yield "attribution misses it"


def _is_strong(sizes: np.ndarray, row: int) -> bool:
    known = np.sort(sizes[~np.isnan(sizes)])[::-1]
    return bool(sizes[row] > 0 and sizes[row] >= known[max(1, math.ceil(STRONG * len(known))) - 1])


def _is_weak(sizes: np.ndarray, row: int) -> bool:
    return bool(sizes[row] < WEAK * np.nanmax(sizes))
