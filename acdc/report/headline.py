"""A circuit's faithfulness in one number: on held-out prompts and with its interval, as far as these were measured."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from acdc.evaluation.parts.faithfulness import Faithfulness
from acdc.files import as_dataclass
from acdc.report.findings import Findings
from acdc.report.text import number

__all__ = ["Headline", "headline"]


@dataclass(frozen=True)
class Headline:
    """Faithfulness by the run's metric.

    Attributes:
        value: None where it is undefined.
        low, high: Ends of its interval over prompts; None where it has none.
        prompts: On which prompts, in words.
        held_out: Whether the search saw none of them.
        no_meaning: Why it says nothing; None where it does.
        is_narrow: Whether its interval rests on so few prompts that it may be too narrow.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    prompts: str
    held_out: bool
    no_meaning: str | None
    is_narrow: bool = False

    @property
    def text(self) -> str:
        """`.93 [.90, .94]`, marked where it has no meaning."""
        if self.value is None:
            return "undefined"
        found = number(self.value)
        found += "" if self.low is None else f" [{number(self.low)}, {number(self.high)}]"
        return found if self.no_meaning is None else f"{found} (no meaning)"


class _Ratio(BaseModel):
    """A faithfulness, as an explanation keeps it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    no_meaning: str | None = None


def headline(findings: Findings) -> Headline | None:
    """From the evaluation if it has it, else from the explanation, else from the metrics; None if none has it."""
    part = findings.parts.get("faithfulness")
    if isinstance(part, Faithfulness) and findings.evaluation is not None:
        prompts, interval = findings.evaluation["prompts"], part.intervals["faithfulness"][part.metric]
        held_out = prompts.get("asked") == "held-out" and not prompts.get("n_seen")
        ends = (interval.low, interval.high)
        why, few = interval.no_meaning, interval.under_covers
        return Headline(part.metric, interval.value, *ends, prompts["text"], held_out, why, few)
    if (told := _explained(findings)) is not None or findings.metrics is None:
        return told
    held_out = findings.metrics.get("held_out")
    return _of_metrics(findings.metrics, seen=True) if held_out is None else _of_metrics(held_out, seen=False)


def _explained(findings: Findings) -> Headline | None:
    """What an explanation measured on the way, if it did."""
    told = findings.explanation
    by_metric = {} if told is None else told.extra.get("faithfulness", {})
    if told is None or not by_metric:
        return None
    own = "" if findings.metrics is None else str(findings.metrics["metric"])
    metric = own if own in by_metric else str(next(iter(by_metric)))
    found = as_dataclass(_Ratio, by_metric[metric], what="the explanation is damaged: its faithfulness")
    return Headline(
        metric, found.value, found.low, found.high, str(told.extra.get("prompts")), told.held_out, found.no_meaning
    )


def _of_metrics(metrics: Any, *, seen: bool) -> Headline:
    n_seen = metrics["n_prompts"] if seen else metrics["n_seen"]
    words = "prompts of the search" if seen else "held-out prompts"
    text = f"{metrics['n_prompts']} {words}" + (f", {n_seen} of which the search saw" if n_seen and not seen else "")
    value, why = metrics["faithfulness"], metrics["no_meaning"]
    return Headline(metrics["metric"], value, None, None, text, not n_seen, why)
