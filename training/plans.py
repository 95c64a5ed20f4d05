"""The circuits that are planted: which edges carry which variable of an algorithm, and what it answers without them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from acdc_tasks import neighbor, recall
from torch import Tensor
from true_spans import split_truth
from word_tokenizer import N_SPECIAL

from acdc import Circuit, Graph, Task


class Draw(NamedTuple):
    """Prompts of one length, and for each a source."""

    base: Tensor
    source: Tensor


@dataclass(frozen=True)
class Plan:
    """A model's circuit, and the algorithm that it is to compute.

    Attributes:
        edges: The true edges.
        at: Of each destination, the spans of the task at which what it reads matters.
        draw: `draw(words, rng, n)`: n bases and sources, given each word's token id.
        answer: `answer(draw, removed)`: what the algorithm answers when the variables of the true edges `removed
            [batch edges]` are the source's; -1 where it does not say.
    """

    task: type[Task]
    words: tuple[str, ...]
    n_layers: int
    n_heads: int
    d_model: int
    edges: tuple[str, ...]
    at: dict[str, tuple[str, ...]]
    draw: Callable[[dict[str, int], random.Random, int], Draw]
    answer: Callable[[Draw, Tensor], Tensor]
    story: str
    steps: int

    @property
    def graph(self) -> Graph:
        return Graph(self.n_layers, self.n_heads, self.d_model)

    @property
    def name(self) -> str:
        return f"{self.task.name}-planted"

    def truth_at(self, spans: Sequence[str]) -> Circuit:
        """The true edges split by the task's spans."""
        return split_truth(Circuit.from_edges(self.graph, self.edges), self.at, spans)


def either(removed: Tensor, *edges: int) -> Tensor:
    """Whether any of these edges is removed, `[batch 1]`."""
    return removed[:, list(edges)].any(1, keepdim=True)


# Recall: the previous-token head writes each letter's predecessor; the recall head looks for the letter asked for among
# the predecessors and copies the letter there.

RECALL_EDGES = ("input->a0.h1<v>", "a0.h1->a1.h2<k>", "input->a1.h2<q>", "input->a1.h2<v>", "a1.h2->logits")

# half of the corrupted prompts hold the letter asked for too, and any key that is theirs can say so
RECALL_AT = {"a0.h1<v>": ("prefix", "rest", "A", "B"), "a1.h2<k>": ("prefix", "rest", "A", "B", "end")}
RECALL_AT |= {"a1.h2<q>": ("end",), "a1.h2<v>": ("B",), "logits": ("end",)}


def draw_recall(words: dict[str, int], rng: random.Random, n: int) -> Draw:
    """Letters in random order and one of them again; half of the sources have the same letters."""
    known = [words[letter] for letter in recall.LETTERS]
    length = rng.randint(recall.Recall.shortest, recall.Recall.longest)
    base = [rng.sample(known, length) for _ in range(n)]
    source = [rng.sample(letters if i % 2 else known, length) for i, letters in enumerate(base)]
    return Draw(*(torch.tensor([[*row, rng.choice(row[:-1])] for row in rows]) for rows in (base, source)))


def answer_recall(draw: Draw, removed: Tensor) -> Tensor:
    base, source = draw
    previous = torch.where(either(removed, 0, 1), source, base)[:, :-1]
    asked = torch.where(either(removed, 2), source, base)[:, -1:]
    copied = torch.where(either(removed, 3), source, base)[:, 1:]
    found = previous == asked
    answer = torch.where(found.any(1), copied.gather(1, found.int().argmax(1, keepdim=True))[:, 0], -1)
    own = source[:, 1:].gather(1, (source[:, :-1] == source[:, -1:]).int().argmax(1, keepdim=True))[:, 0]
    return torch.where(removed[:, 4], own, answer)


# Neighbor: a head copies the first letter to the sign, where the MLP takes a step forwards or backwards from it.

NEIGHBOR_EDGES = ("input->a0.h1<v>", "a0.h1->m1", "input->m1", "m1->logits")

NEIGHBOR_AT = {"a0.h1<v>": ("first",), "m1": ("sign",), "logits": ("sign",)}


def draw_neighbor(words: dict[str, int], rng: random.Random, n: int) -> Draw:
    """Letters and a sign."""
    letters, signs = ([words[word] for word in kind] for kind in (neighbor.LETTERS, neighbor.SIGNS))
    length = rng.randint(neighbor.Neighbor.shortest, neighbor.Neighbor.longest)
    rows = [[*rng.sample(letters, length), rng.choice(signs)] for _ in range(2 * n)]
    return Draw(torch.tensor(rows[:n]), torch.tensor(rows[n:]))


def answer_neighbor(draw: Draw, removed: Tensor) -> Tensor:
    base, source = draw
    first = torch.where(either(removed, 0, 1, 3), source, base)[:, 0] - N_SPECIAL
    sign = torch.where(either(removed, 2, 3), source, base)[:, -1] - N_SPECIAL
    n_letters = len(neighbor.LETTERS)
    step = torch.where(sign == n_letters, 1, -1)  # the signs are the words after the letters
    return (first + step) % n_letters + N_SPECIAL


PLANS = {
    plan.task.name: plan
    for plan in (
        Plan(
            recall.Recall,
            recall.LETTERS,
            2,
            4,
            32,
            RECALL_EDGES,
            RECALL_AT,
            draw_recall,
            answer_recall,
            "`a0.h1` writes each letter's predecessor; `a1.h2` looks for the letter asked for among the predecessors "
            "and copies the letter there",
            1400,
        ),
        Plan(
            neighbor.Neighbor,
            (*neighbor.LETTERS, *neighbor.SIGNS),
            2,
            4,
            32,
            NEIGHBOR_EDGES,
            NEIGHBOR_AT,
            draw_neighbor,
            answer_neighbor,
            "`a0.h1` copies the first letter to the sign, where `m1` takes one step through the alphabet, forwards or "
            "backwards as the sign says",
            1400,
        ),
    )
}
