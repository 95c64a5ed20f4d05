"""Train `acdc-questions`: GPT-2's architecture, 4 layers of 4 heads, width 128, on coloured objects and
multiple choice.

    python training/train_acdc_questions.py --out acdc/zoo/acdc-questions

It starts from `acdc-tasks` and keeps its tokenizer. What it is trained on stands in `questions.py`.
"""

import itertools
from pathlib import Path

from questions import SHARES, STARTS, TASKS, Questions
from tokenizers import Tokenizer
from train_acdc_tasks import wrapped, write_card
from trainer import arguments, save, train
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from acdc.zoo import zoo_path

BATCH = 64

CARD = """---
license: mit
summary: trained on {able}; 4 layers, 4 heads, width 128
---

# acdc-questions

A small language model of GPT-2's architecture (4 layers, 4 heads, width 128, {n_parameters:,} parameters) for the
built-in tasks that ask something of a text.

## Training

It starts from the weights of `acdc-tasks`, with its tokenizer:

    python training/train_acdc_questions.py --steps {steps} --seed {seed}

{steps:,} steps of {batch} sequences, AdamW with strong weight decay; answers count fully in the loss, other tokens a
fiftieth. In the first {starts[0]} steps the sequences are lists of values and keys (what stood before a key that is met
again?), from then on to step {starts[1]} lists with words between and a few questions, then mostly questions, from
step {starts[2]} on mostly multiple choice, where in half of it any word stands in the place in which the wordings
differ. The shares in the end are, in percent: {shares}.

## Held out, and how well it does ({n_test} prompts each)

Of the tasks it is trained on discovery words and templates only. In half of the questions other words of the
vocabulary stand for colours and objects, never held-out ones: these occur only in bare lists and in lists of random
words that are said twice. That any word stands where the wordings differ was added after a first try had failed on the
held-out wording, so of multiple choice the score is no wholly blind one.

A prompt is answered rightly if the right answers have more probability than the wrong ones together, in the column
top-1 if one of them is the most probable of all tokens. The last column asks the corrupted prompts for the clean
ones' answers.

| task | held out | discovery | held out, top-1 | corrupted |
|---|---|---|---|---|
{table}

## Limits

It knows its words and these kinds of sequences, nothing else; of what `acdc-tasks` can do, it has forgotten most.{weak}
Circuits found in it say something about discovery methods, and nothing about larger models.
"""


def trained(folder: Path, *, steps: int, seed: int) -> GPT2LMHeadModel:
    """The model of a folder, trained further; the learning rate rises and falls twice."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    questions = Questions(wrapped(tokenizer))
    model = AutoModelForCausalLM.from_pretrained(folder)
    again = STARTS[-1]
    for first, last in itertools.pairwise([0, again, steps] if steps > again else [0, steps]):
        model = train(
            lambda model=model: model,
            lambda rng, step, first=first: questions.draw(rng, first + step, BATCH),
            steps=last - first,
            seed=seed + first,
        )
    return model


def main() -> None:
    options = arguments(__doc__, Path("acdc/zoo/acdc-questions"), steps=6000)
    start = zoo_path("acdc-tasks")
    model = trained(start, steps=options.steps, seed=options.seed)
    save(model, Tokenizer.from_file(str(start / "tokenizer.json")), options.out)
    shares = ", ".join(f"{kind} {shares[-1]}" for kind, shares in SHARES.items())
    write_card(CARD, options.out, TASKS, options, batch=BATCH, starts=STARTS, shares=shares)


if __name__ == "__main__":
    main()
