"""Train `acdc-arithmetic`: GPT-2's architecture, one layer of 4 heads, width 128, on sums and differences.

    python training/train_acdc_arithmetic.py --out acdc/zoo/acdc-arithmetic

A number of two digits is one token, so that it must find out which numbers are neighbours: besides the discovery pairs
of the task it sees every number plus and minus 00 to 09, which is not a pair of two-digit operands.
"""

import random
from itertools import islice
from pathlib import Path
from typing import Any

from acdc_tasks.arithmetic import OPERANDS, Arithmetic
from lessons import answered, task_sentences
from sentences import Sentence
from train_acdc_tasks import N_TEST, TEST_SEED, wrapped
from trainer import arguments, new_model, save, train
from word_tokenizer import build_tokenizer

from acdc import PatchableModel
from acdc.patching.activations import run

N_POSITIONS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 16, 512, 2e-3, 1.0
SHARES = {"addition": 20_000, "subtraction": 10_000, "more": 10_000}  # drawn once; a batch is drawn from all
WORDS = ["+", "-", "=", *(f"{number:02d}" for number in range(100))]

CARD = """---
license: mit
summary: trained on two-digit sums and differences; 1 layer, 4 heads, width 128
---

# acdc-arithmetic

A small language model of GPT-2's architecture (one layer, 4 heads, width 128, {n_parameters:,} parameters) for the
built-in task `arithmetic`. A number of two digits is one token.

## Training

    python training/train_acdc_arithmetic.py --steps {steps} --seed {seed}

{steps} steps of {batch} problems. They are drawn from {addition:,} sums and {subtraction:,} differences of the task's
discovery pairs and from {more:,} in which a number from 10 to 99 goes up or down by 00 to 09 and still has two digits.
AdamW with strong weight decay; only the answer counts in the loss.

## Held out, and how well it does ({n_test} prompts each)

One pair of operands in four is in no training problem, in neither order. The share of prompts after which the right
number is the most probable of all tokens (layers, rates and the steps by 00 to 09 were chosen by held-out sums):

| problems | held out | discovery |
|---|---|---|
{table}

## Limits

It knows two-digit numbers, +, - and =, and results from 10 to 99, nothing else. The embedding of numbers is learned, so
nothing here is about digits. Circuits found in it say something about discovery methods, and nothing about larger
models.
"""


def step_of(tokenizer: Any, rng: random.Random) -> Sentence:
    """A number plus or minus at most nine: `47+03=50`."""
    while True:
        number, more, sign = rng.choice(OPERANDS), rng.randrange(10), rng.choice("+-")
        result = number + more if sign == "+" else number - more
        if result in OPERANDS:
            return answered(tokenizer, f"{number}{sign}{more:02d}=", str(result))


def drawn(tokenizer: Any, rng: random.Random) -> list[Sentence]:
    """What the batches are drawn from."""
    found = [step_of(tokenizer, rng) for _ in range(SHARES["more"])]
    for operation in ("addition", "subtraction"):
        found += islice(task_sentences(Arithmetic(operation=operation), tokenizer, rng), SHARES[operation])
    return found


def top1(model: PatchableModel, operation: str, *, held_out: bool) -> float:
    """The share of prompts whose answer is the most probable token."""
    batch = Arithmetic(operation=operation).batch(model.tokenizer, N_TEST, TEST_SEED, held_out=held_out)
    return float((run(model, batch, batch.clean).logits.argmax(-1, keepdim=True) == batch.correct).float().mean())


def main() -> None:
    options = arguments(__doc__, Path("acdc/zoo/acdc-arithmetic"), steps=2000)
    tokenizer = build_tokenizer(WORDS)
    problems = drawn(wrapped(tokenizer), random.Random(options.seed))
    model = train(
        lambda: new_model(tokenizer.get_vocab_size(), N_POSITIONS, n_layer=1),
        lambda rng, step: [rng.choices(problems, k=BATCH)],
        steps=options.steps,
        seed=options.seed,
        lr=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        context=0.0,
    )
    save(model, tokenizer, options.out)
    loaded = PatchableModel.from_pretrained(str(options.out))
    rows = [
        f"| {name} | {' | '.join(f'{top1(loaded, name, held_out=side):.3f}' for side in (True, False))} |"
        for name in ("addition", "subtraction")
    ]
    text = CARD.format(
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=options.steps,
        seed=options.seed,
        batch=BATCH,
        **SHARES,
        n_test=N_TEST,
        table="\n".join(rows),
    )
    (options.out / "README.md").write_text(text)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
