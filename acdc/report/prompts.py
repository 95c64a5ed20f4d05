"""Prompts of a page, with what model, circuit and corrupted run predict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acdc.interpret.explanation import PromptCard, TokenShare
from acdc.report.findings import Findings
from acdc.report.text import share, token, visible

__all__ = ["PromptView", "Word", "prompt_views"]

WORLDS = ("model", "circuit", "corrupted")
TOP = 5


@dataclass(frozen=True)
class Word:
    """A token of a prompt: whether the other side has another one there, and the spans that it belongs to."""

    text: str
    differs: bool
    spans: str


@dataclass(frozen=True)
class Guess:
    """A predicted token, its probability, and whether it is a right or a wrong answer (`right`, `wrong`, or empty)."""

    text: str
    p: str
    answer: str


@dataclass(frozen=True)
class PromptView:
    """A pair of prompts as it is shown.

    Attributes:
        corrupt: Empty where only the clean side was saved.
        worlds: What each of model, circuit and corrupted run predicts, the most probable first.
    """

    label: str
    clean: tuple[Word, ...]
    corrupt: tuple[Word, ...]
    correct: tuple[str, ...]
    wrong: tuple[str, ...]
    worlds: Mapping[str, tuple[Guess, ...]]


def prompt_views(findings: Findings) -> list[PromptView]:
    """From the explanation if it has prompts, else those that the run's metrics kept."""
    told, metrics = findings.explanation, findings.metrics
    if told is not None and told.prompts:
        return [_of_card(f"prompt {i + 1}", card) for i, card in enumerate(told.prompts)]
    if metrics is None:
        return []
    sides = [(held_out, True)] if (held_out := metrics.get("held_out")) is not None else []
    return [
        view for side, is_held_out in [*sides, (metrics, False)] for view in _predicted(findings, side, is_held_out)
    ]


def _predicted(findings: Findings, metrics: Mapping[str, Any], held_out: bool) -> Iterator[PromptView]:
    """The prompts of one side that the metrics kept predictions on, token by token where that is known."""
    known = [card for card in findings.prompts if card.held_out is held_out]
    for i, each in enumerate(metrics["predictions"]):
        told = PromptCard(
            clean=[each["prompt"]],
            corrupt=[],
            correct=list(each["correct"]),
            wrong=list(each["wrong"]),
            held_out=held_out,
        )
        card = known[i] if i < len(known) else told
        tops = {world: [(one["token"], one["p"]) for one in each["top"].get(world, ())] for world in WORLDS}
        yield _of_card(f"prompt {i + 1}", card.model_copy(update=tops))


def _of_card(label: str, card: PromptCard) -> PromptView:
    spans = {i: ", ".join(name for name, places in card.spans.items() if i in places) for i in range(len(card.clean))}
    worlds = {"model": card.model, "circuit": card.circuit, "corrupted": card.corrupted}
    return PromptView(
        label=f"{label} ({'held out' if card.held_out else 'of the search'})",
        clean=tuple(_words(card.clean, card.corrupt, spans)),
        corrupt=tuple(_words(card.corrupt, card.clean, spans)),
        correct=tuple(token(each) for each in card.correct),
        wrong=tuple(token(each) for each in card.wrong),
        worlds={world: _guesses(top, card.correct, card.wrong) for world, top in worlds.items() if top},
    )


def _words(side: list[str], other: list[str], spans: Mapping[int, str]) -> Iterator[Word]:
    for i, text in enumerate(side):
        yield Word(token(text), bool(other) and other[i : i + 1] != [text], visible(spans.get(i, "")))


def _guesses(top: list[TokenShare], correct: list[str], wrong: list[str]) -> tuple[Guess, ...]:
    def answer(text: str) -> str:
        return "right" if text in correct else "wrong" if text in wrong else ""

    return tuple(Guess(token(text), share(p), answer(text)) for text, p in top[:TOP])
