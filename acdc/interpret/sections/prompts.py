"""Example prompts: what model, circuit and corrupted run predict on them."""

from torch import Tensor

from acdc.evaluation.whole_answers import first_rows
from acdc.interpret.draft import empty
from acdc.interpret.explanation import Explanation, PromptCard, TokenShare
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.patching.problem import Problem
from acdc.prompts.tokens import pieces

__all__ = ["SECTION", "TOP"]

TOP = 5  # tokens that are shown of each prediction


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """The first held-out prompts; of whole answers, at the first token by which the right one differs."""
    problem, held_out = subject.problem, subject.n_seen == 0
    rows = first_rows(problem.batch)[: subject.settings.examples]
    predicted = {who: each[rows].double().softmax(-1).cpu() for who, each in subject.logits.items()}
    cards = [
        _card(problem, row, held_out, {who: _best(problem, p[i]) for who, p in predicted.items()})
        for i, row in enumerate(rows)
    ]
    notes = ["answers have several tokens: the prompts show the first that tells them apart"]
    return empty(prompts=cards, notes=notes if subject.of_whole_answers else [])


def _card(problem: Problem, row: int, held_out: bool, predicted: dict[str, list[TokenShare]]) -> PromptCard:
    batch, tokenizer = problem.batch, problem.model.tokenizer
    real = batch.attention[row]
    clean, corrupt = (pieces(tokenizer, ids[row][real].tolist()) for ids in (batch.clean, batch.corrupt))
    answers = ([i for i in ids[row].tolist() if i >= 0] for ids in (batch.correct, batch.wrong))
    correct, wrong = (pieces(tokenizer, ids) for ids in answers)
    return PromptCard(
        clean=clean,
        corrupt=corrupt,
        correct=correct,
        wrong=wrong,
        spans={} if batch.named is None else batch.named.tokens(row, batch.n_pos - int(batch.lengths[row])),
        held_out=held_out,
        model=predicted["model"],
        circuit=predicted["circuit"],
        corrupted=predicted["corrupted"],
    )


def _best(problem: Problem, p: Tensor) -> list[TokenShare]:
    best = p.topk(min(TOP, len(p)))
    return list(zip(pieces(problem.model.tokenizer, best.indices.tolist()), best.values.tolist(), strict=True))


SECTION = Section(
    "prompts",
    "what model, circuit and corrupted run predict",
    5,
    measure,
    lambda subject: 0.0,
    brief=True,
    whole_answers=True,
)
