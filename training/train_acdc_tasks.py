"""Train `acdc-tasks`: GPT-2's architecture, 4 layers of 4 heads, width 128, on seven of the built-in tasks.

    python training/train_acdc_tasks.py --out acdc/zoo/acdc-tasks

What is trained on and what is held out stands in `lessons.py` and in the tasks themselves.
"""

import random
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lessons import SHARES, TASKS, Curriculum, vocabulary
from measure_zoo import measure
from tokenizers import Tokenizer
from trainer import arguments, new_model, save, train
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, PreTrainedTokenizerFast
from word_tokenizer import BOS, N_SPECIAL, PAD, UNK, build_tokenizer

from acdc import PatchableModel
from acdc.zoo import zoo_path

N_POSITIONS, BATCH = 64, 64
N_TEST, TEST_SEED = 1000, 1
COLUMNS = ("held_out", "discovery", "top1", "corrupted")  # of the card's table
ABLE = 0.9  # accuracy from which on it does a task


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as the tasks read it."""
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, pad_token=PAD, unk_token=UNK)


def warm_model(folder: Path, tokenizer: Any) -> GPT2LMHeadModel:
    """A saved model with another vocabulary: words that both know keep their embeddings, the others get random ones."""
    model = new_model(len(tokenizer), N_POSITIONS)
    start = AutoModelForCausalLM.from_pretrained(folder)
    known = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    old = start.transformer.wte.weight.detach()
    rows = torch.randn(len(tokenizer), old.shape[1]) * old.std()
    for word, row in tokenizer.get_vocab().items():
        if word in known:
            rows[row] = old[known[word]]
    model.load_state_dict(start.state_dict() | dict.fromkeys(("transformer.wte.weight", "lm_head.weight"), rows))
    return model


def trained(folder: Path, tokenizer: Any, *, steps: int, seed: int) -> GPT2LMHeadModel:
    """The model of a folder, trained further on the curriculum."""
    curriculum = Curriculum(tokenizer, random.Random(seed))
    return train(
        lambda: warm_model(folder, tokenizer),
        lambda rng, step: curriculum.draw(rng, BATCH),
        steps=steps,
        seed=seed,
    )


CARD = """---
license: mit
summary: trained on docstrings, pronouns, capitals and agreement; 4 layers, 4 heads, width 128
---

# acdc-tasks

A small language model of GPT-2's architecture (4 layers, 4 heads, width 128, {n_parameters:,} parameters, {n_vocab}
words, 64 positions) for the built-in tasks that `acdc-small` has no words for.

## Training

It starts from the weights of `acdc-small`, which can copy and repeat, with embeddings for its own words:

    python training/train_acdc_tasks.py --steps {steps} --seed {seed}

{steps:,} steps of {batch} sequences, AdamW with strong weight decay; answers count fully in the loss, other tokens a
fiftieth. The sequences are, in percent: {shares}.

The tokenizer is word-level; the space before a word belongs to it, and a number of two digits is one token.

## Held out, and how well it does ({n_test} prompts each)

Of the tasks it is trained on discovery pairs only, so no held-out template occurs in training. Of the held-out
words, what can't be guessed is taught in other sentences: names in "Evan lost his" and "Evan said that he",
countries in the discovery templates, nouns without a distractor, prepositions in "It is near the key.", letters in
multiple choice. The other held-out words (colours, objects, arguments) occur only in lists of random words that are
said twice.

A prompt is answered rightly if the right answers have more probability than the wrong ones together, in the column
top-1 if one of them is the most probable of all tokens. The last column asks the corrupted prompts for the clean
ones' answers.

| task | held out | discovery | held out, top-1 | corrupted |
|---|---|---|---|---|
{table}

## Limits

It knows its {n_vocab} words and these kinds of sequences, nothing else. Sequences are at most 64 tokens long.{weak}
Circuits found in it say something about discovery methods, and nothing about larger models.
"""


def write_card(template: str, out: Path, tasks: Iterable[str], options: Namespace, **details: Any) -> None:
    """Measure a saved model on tasks, and write what it is, how it was trained, and how well it does."""
    model = PatchableModel.from_pretrained(str(out))
    scores = {name: score for name in tasks if (score := measure(model, name, n=N_TEST, seed=TEST_SEED))}
    rows = [f"| {name} | {' | '.join(f'{score[key]:.3f}' for key in COLUMNS)} |" for name, score in scores.items()]
    able = [name for name, score in scores.items() if score["top1"] >= ABLE]
    weak = [name for name in scores if name not in able]
    text = template.format(
        able=", ".join(able),
        n_parameters=sum(parameter.numel() for parameter in model.hf.parameters()),
        n_vocab=len(model.tokenizer) - N_SPECIAL,
        steps=options.steps,
        seed=options.seed,
        n_test=N_TEST,
        table="\n".join(rows),
        weak=f" It has not learned {' and '.join(weak)}." if weak else "",
        **details,
    )
    (out / "README.md").write_text(text)
    print("\n".join(f"{name}: {score}" for name, score in scores.items()))


def main() -> None:
    options = arguments(__doc__, Path("acdc/zoo/acdc-tasks"), steps=1200)
    tokenizer = build_tokenizer(vocabulary())
    model = trained(zoo_path("acdc-small"), wrapped(tokenizer), steps=options.steps, seed=options.seed)
    save(model, tokenizer, options.out)
    shares = ", ".join(f"{name} {share}" for name, share in SHARES.items())
    write_card(CARD, options.out, TASKS, options, batch=BATCH, shares=shares)


if __name__ == "__main__":
    main()
