"""The top of a page: the question and the answer in two sentences, the numbers, what is certain and what isn't."""

from collections.abc import Iterator
from dataclasses import dataclass

from acdc.circuits.circuit import model_words
from acdc.circuits.score_kinds import words_of
from acdc.errors import counted
from acdc.report.findings import Findings
from acdc.report.headline import Headline, headline
from acdc.report.text import number

__all__ = ["Fact", "Opening", "opening"]

WORLDS = ("model", "circuit", "corrupted")


@dataclass(frozen=True)
class Fact:
    """A number at a glance, with what it is and a word more."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True)
class Opening:
    """What a reader sees first."""

    question: str
    answer: str
    facts: tuple[Fact, ...]
    certain: tuple[str, ...]
    uncertain: tuple[str, ...]


def opening(findings: Findings) -> Opening:
    """The top of the page."""
    told, best = findings.explanation, headline(findings)
    certain, uncertain = (
        list(dict.fromkeys(found)) for found in (_certain(findings, best), _uncertain(findings, best))
    )
    return Opening(
        question=(told and told.question) or _question(findings),
        answer=(told and told.answer) or _answer(findings, best),
        facts=tuple(_facts(findings, best)),
        certain=tuple(certain),
        uncertain=tuple(uncertain),
    )


def _question(findings: Findings) -> str:
    known = findings.circuit.provenance
    task, model = known.get("task_name") or known.get("task"), known.get("model")
    about = (findings.record or {}).get("task", {}).get("summary")
    what = f"does {model_words(str(model))} need" if model else "does the model need"
    aim = (f" for {task}" if task else "") + (f" ({about})" if about else "")
    return f"Which heads and MLPs {what}{aim}, and which reads which?"


def _answer(findings: Findings, best: Headline | None) -> str:
    circuit = findings.circuit
    size = (
        f"{circuit.n_edges:,} of {counted(circuit.graph.n_edges, 'edge')} between {counted(len(circuit.nodes), 'node')}"
    )
    if best is None:
        return f"{size} were kept; what they keep of the model's behaviour was not measured."
    if best.no_meaning is not None:
        return f"{size} were kept; how faithful they are can't be said: {best.no_meaning}."
    ends = "1: as the full model, 0: as without any edge"
    return f"{size} have a faithfulness of {best.text} by {best.metric} on {best.prompts} ({ends})."


def _facts(findings: Findings, best: Headline | None) -> Iterator[Fact]:
    circuit, metrics = findings.circuit, findings.metrics
    yield Fact("edges", f"{circuit.n_edges:,}", f"of {circuit.graph.n_edges:,}")
    yield Fact("nodes", f"{len(circuit.nodes):,}", f"of {len(circuit.graph.sites) + 1:,}")
    if best is not None:
        yield Fact("faithfulness", best.text, f"by {best.metric}, on {best.prompts}")
    if metrics is not None:
        shown = metrics.get("held_out") or metrics
        where = (
            f"model, circuit, corrupted run; {shown['n_prompts']} {'held-out ' if shown is not metrics else ''}prompts"
        )
        for name, label in (("accuracy", "accuracy"), ("p_correct", "p(correct)")):
            yield Fact(label, " · ".join(number(shown[name][world]) or "?" for world in WORLDS), where)


def _certain(findings: Findings, best: Headline | None) -> Iterator[str]:
    if findings.explanation is not None:
        yield from findings.explanation.certain
    is_told = findings.explanation is not None and bool(findings.explanation.certain)
    if not is_told and best is not None and best.held_out and best.no_meaning is None and best.low is not None:
        yield f"Faithfulness by {best.metric} is {best.text} on {best.prompts}, which no choice was made by."
    if findings.circuit.score_kind == "effect":
        yield "Each edge's score is a measured effect, not an estimate."
    for name, holds in (findings.record or {}).get("claims", {}).items():
        if holds is True:
            yield f"By the way it was found: {name.replace('_', ' ')}."


def _uncertain(findings: Findings, best: Headline | None) -> Iterator[str]:
    if findings.explanation is not None:
        yield from findings.explanation.uncertain
    for warnings in (
        (source or {}).get("warnings", ()) for source in (findings.record, findings.metrics, findings.evaluation)
    ):
        yield from warnings
    for part in findings.parts.values():
        yield from part.cautions()
    if best is None or not best.held_out:
        yield "How faithful it is on prompts that the search did not see was not measured."
    elif best.low is None:
        yield "How far faithfulness varies over prompts was not measured (acdc evaluate gives the interval)."
    elif best.is_narrow:
        yield f"The interval of faithfulness rests on {best.prompts}: so few that it may be too narrow."
    for name, holds in (findings.record or {}).get("claims", {}).items():
        if holds is False:
            yield f"Not guaranteed by the way it was found: {name.replace('_', ' ')}."
    if findings.circuit.score_kind != "effect":
        words = words_of(findings.circuit.score_kind)
        yield f"An edge's score ({words.label}) is no measured effect: {words.meaning}."
    if findings.explanation is None:
        yield "What each node does was not looked at (acdc explain)."
