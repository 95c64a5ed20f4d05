"""Steering on a page: what each strength of a direction does, on the task and to neutral text."""

from collections.abc import Iterator

from acdc.interpret.explanation import Explanation
from acdc.report.table import Cell, Table
from acdc.report.text import estimate, number

__all__ = ["steering_tables"]


def steering_tables(told: Explanation) -> Iterator[Table]:
    """A table for each direction."""
    for i, found in enumerate(told.steering):
        heads = ("strength", f"{found.metric_name or 'metric'} on held-out prompts", "KL on neutral text, nats")
        rows = tuple(
            (
                Cell("ablated" if strength is None else number(strength, sign=True), strength),
                Cell(estimate(metric), metric.value),
                Cell(number(kl) or "not measured", kl),
            )
            for strength, metric, kl in zip(found.strengths, found.metric, found.neutral_kl, strict=True)
        )
        yield Table(f"steering-{i}", f"{found.direction}, at {found.site}", heads, rows)
