"""Train `acdc-questions`: GPT-2's architecture, 4 layers of 4 heads, width 128, on coloured objects and
multiple choice.

    python training/train_acdc_questions.py --out acdc/zoo/acdc-questions

It starts from `acdc-tasks` and keeps its tokenizer. What it is trained on stands in `questions.py`.
"""

import argparse
import itertools
from pathlib import Path

from measure_zoo import measure
from questions import SHARES, STARTS, TASKS, Questions
from tokenizers import Tokenizer
from train_acdc_tasks import ABLE, COLUMNS, N_TEST, TEST_SEED, wrapped
from trainer import save, train
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from acdc import PatchableModel
from acdc.zoo import zoo_path

BATCH = 64

CARD = """---
license: mit
summary: trained on {summary}; 4 layers, 4 heads, width 128
---

# acdc-questions

A small language model of GPT-2's architecture (4 layers, 4 heads, width 128, {n_parameters:,} parameters) for the
built-in tasks that ask something of a text.

## Training

It starts from the weights of `acdc-tasks`, with its tokenizer:

    {command}

{steps} steps of {batch} sequences, AdamW with strong weight decay; answers count fully in the loss, other tokens a
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


def card(model: GPT2LMHeadModel, scores: dict[str, dict[str, float]], steps: int, command: str) -> str:
    """What the model is, how it was trained, and how well it does."""
    rows = [f"| {name} | {' | '.join(f'{score[key]:.3f}' for key in COLUMNS)} |" for name, score in scores.items()]
    able = [name for name, score in scores.items() if score["top1"] >= ABLE]
    weak = [name for name in scores if name not in able]
    return CARD.format(
        summary=", ".join(able),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        command=command,
        steps=f"{steps:,}",
        batch=BATCH,
        starts=STARTS,
        shares=", ".join(f"{kind} {shares[-1]}" for kind, shares in SHARES.items()),
        n_test=N_TEST,
        table="\n".join(rows),
        weak=f" It has not learned {' and '.join(weak)}." if weak else "",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("acdc/zoo/acdc-questions"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = zoo_path("acdc-tasks")
    model = trained(start, steps=options.steps, seed=options.seed)
    save(model, Tokenizer.from_file(str(start / "tokenizer.json")), options.out)
    loaded = PatchableModel.from_pretrained(str(options.out))
    scores = {name: score for name in TASKS if (score := measure(loaded, name, n=N_TEST, seed=TEST_SEED))}
    command = f"python training/train_acdc_questions.py --steps {options.steps} --seed {options.seed}"
    (options.out / "README.md").write_text(card(model, scores, options.steps, command))
    print("\n".join(f"{name}: {score}" for name, score in scores.items()))


if __name__ == "__main__":
    main()
