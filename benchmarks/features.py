"""How well features are found where they are known, and what they cost on a real model: Markdown tables.

    python benchmarks/features.py                     # SmolLM2-135M: a quarter of an hour
    python benchmarks/features.py --quick             # everything cut short: some three minutes
    python benchmarks/features.py --only toy          # some of the tables: toy, circuits, costs
    python benchmarks/features.py --only costs --model acdc-small

- toy: dictionaries of every variant trained on toy models of superposition, whose features are known.
- circuits: how the effects of a feature circuit rank features of compiled models, whose meaning is known.
- costs: time and memory beside a plain forward pass of the model.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import feature_costs
import known_features
import torch
import toy_features
import transformers

from acdc import PatchableModel
from acdc.errors import ACDCError

__all__ = ["QUICK", "USUAL", "main"]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        steps: Of the toys' dictionaries.
        models, n_known: Compiled models, and prompts of each.
        n, n_tokens, repeats: Prompts, tokens of text, and how often a cost is measured.
    """

    steps: int
    models: tuple[str, ...]
    n_known: int
    n: int
    n_tokens: int
    repeats: int


USUAL = Size(3000, tuple(known_features.READ_AT), 10, n=10, n_tokens=1024, repeats=3)
QUICK = Size(200, ("reverse-compiled",), 3, n=2, n_tokens=256, repeats=1)


def toy(size: Size, options: argparse.Namespace) -> Iterator[object]:
    yield toy_features.Found.HEAD
    yield from toy_features.rows(size.steps)


def circuits(size: Size, options: argparse.Namespace) -> Iterator[object]:
    yield known_features.Ranking.HEAD
    yield from known_features.rows(size.n_known, size.models)


def costs(size: Size, options: argparse.Namespace) -> Iterator[object]:
    try:
        model = PatchableModel.from_pretrained(options.model, dtype="float32")
    except ACDCError as error:  # the package isn't there: it says how to get it
        yield f"skipped: {error}"
        return
    width, k = 8 * model.graph.d_model, min(32, model.graph.d_model)
    found = feature_costs.Costs(model, options.task, size.n, size.n_tokens, width, k, size.repeats)
    prompts = f"{size.n} prompts of {options.task}, at most {found.problem.batch.n_pos} tokens"
    yield f"{model.name}, {prompts}; dictionaries of {width:,} features, TopK of {k}; {torch.get_num_threads()} threads"
    yield "\n" + feature_costs.HEAD
    yield from found.rows()


TABLES: dict[str, Callable[[Size, argparse.Namespace], Iterator[object]]] = {
    "toy": toy,
    "circuits": circuits,
    "costs": costs,
}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="of the costs")
    parser.add_argument("--task", default="ioi", help="of the costs")
    parser.add_argument("--only", action="append", choices=TABLES, help="a table; may be repeated")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    for name, lines in TABLES.items():
        if name in (options.only or TABLES):
            for line in lines(QUICK if options.quick else USUAL, options):
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
