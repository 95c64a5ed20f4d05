"""Train `acdc-small`: GPT-2's architecture, 4 layers of 4 heads, width 128, on four kinds of sequences.

    python training/train_acdc_small.py --out acdc/zoo/acdc-small

About 10 minutes on two cores. What is trained on and what is held out stands in `sentences.py`.
"""

import random
from pathlib import Path

import torch
from sentences import (
    HELD_OUT_NAMES,
    HELD_OUT_NOUNS,
    HELD_OUT_PLACES,
    NAMES,
    agreement_text,
    ioi_text,
    repeated,
    training_sentence,
    vocabulary,
    year_text,
)
from tokenizers import Tokenizer
from torch import Tensor
from trainer import Groups, arguments, new_model, save, train
from transformers import GPT2LMHeadModel
from word_tokenizer import N_SPECIAL, build_tokenizer

N_POSITIONS, BATCH, N_TEST = 64, 128, 1000


def draw(rng: random.Random, tokenizer: Tokenizer, step: int) -> Groups:
    """The sequences of one step; every tenth has long repetitions."""
    return [[training_sentence(rng, tokenizer, long=step % 10 == 0) for _ in range(BATCH)]]


@torch.no_grad()
def last_probabilities(model: GPT2LMHeadModel, tokenizer: Tokenizer, prompts: list[str]) -> Tensor:
    """Probabilities of the next token, `[batch vocab]`."""
    rows = [tokenizer.encode(prompt).ids for prompt in prompts]
    ids = torch.tensor([row + [1] * (max(map(len, rows)) - len(row)) for row in rows])
    ends = torch.tensor([len(row) - 1 for row in rows])
    return model(ids).logits[torch.arange(len(rows)), ends].softmax(-1)


def held_out_scores(model: GPT2LMHeadModel, tokenizer: Tokenizer, seed: int = 1) -> dict[str, float]:
    """What it does with names, places, nouns and years that its training did not combine."""
    rng = random.Random(seed)
    return {
        "IOI, held-out names, accuracy": ioi_accuracy(model, tokenizer, rng, NAMES, HELD_OUT_NAMES),
        "IOI, held-out names and places, accuracy": ioi_accuracy(
            model, tokenizer, rng, NAMES, HELD_OUT_NAMES, HELD_OUT_PLACES
        ),
        "greater-than, held-out nouns and years, probability difference": years_difference(model, tokenizer, rng),
        "induction, fresh sequences, top-1 accuracy": induction_accuracy(model, tokenizer, rng),
        "agreement, held-out combinations, accuracy": agreement_accuracy(model, tokenizer, rng),
    }


def ioi_accuracy(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    rng: random.Random,
    names: tuple[str, ...],
    held_out: tuple[str, ...],
    places: tuple[str, ...] = ("store", "garden", "school"),
) -> float:
    """Share of prompts with two held-out names whose most probable next word is the indirect object."""
    pairs = [rng.sample(held_out, 2) for _ in range(N_TEST)]
    prompts = [ioi_text(rng, indirect, subject, places)[0] for indirect, subject in pairs]
    found = last_probabilities(model, tokenizer, prompts).argmax(-1).tolist()
    return sum(i == tokenizer.token_to_id(f" {io}") for i, (io, _) in zip(found, pairs, strict=True)) / N_TEST


def years_difference(model: GPT2LMHeadModel, tokenizer: Tokenizer, rng: random.Random) -> float:
    """Mean probability of later years minus that of the others."""
    drawn = [year_text(rng, HELD_OUT_NOUNS, held_out=True) for _ in range(N_TEST)]
    years = torch.tensor([tokenizer.token_to_id(f"{year:02d}") for year in range(100)])
    found = last_probabilities(model, tokenizer, [prompt for prompt, _, _ in drawn])[:, years]
    later = torch.arange(100)[None, :] > torch.tensor([start for _, _, start in drawn])[:, None]
    return float((found * later).sum(1).mean() - (found * ~later).sum(1).mean())


@torch.no_grad()
def induction_accuracy(model: GPT2LMHeadModel, tokenizer: Tokenizer, rng: random.Random) -> float:
    """Share of the second copy's words that are predicted."""
    right, total = 0, 0
    for _ in range(N_TEST // 5):
        sentence = repeated(rng, tokenizer.get_vocab_size() - 3, rng.randint(5, 16))
        found = model(torch.tensor([sentence.ids])).logits[0].argmax(-1)
        right += sum(int(found[i - 1]) == sentence.ids[i] for i in sentence.answers)
        total += len(sentence.answers)
    return right / total


def agreement_accuracy(model: GPT2LMHeadModel, tokenizer: Tokenizer, rng: random.Random) -> float:
    """Share of prompts after which the verb that agrees with the first noun is the more probable one."""
    drawn = [agreement_text(rng, held_out=True) for _ in range(N_TEST)]
    found = last_probabilities(model, tokenizer, [prompt for prompt, _ in drawn])
    verbs = [" is", " are"]
    choice = found[:, [tokenizer.token_to_id(verb) for verb in verbs]].argmax(1).tolist()
    return sum(verbs[i] == verb for i, (_, verb) in zip(choice, drawn, strict=True)) / N_TEST


CARD = """---
license: mit
summary: trained on IOI, greater-than, induction and agreement; 4 layers, 4 heads, width 128
---

# acdc-small

A small language model of GPT-2's architecture (4 layers, 4 heads, width 128, {n_parameters:,} parameters, {n_vocab}
words, 64 positions) that really does indirect object identification, greater-than, induction and a simple subject-verb
agreement.

## Training

`python training/train_acdc_small.py --out acdc/zoo/acdc-small` trains it from scratch: {steps} steps of {batch}
sequences (35% IOI with names that repeat, 10% the same with three different names, 25% year spans, 8% agreement, 22%
random words said twice), AdamW with strong weight decay, seed {seed}. Answers count fully in the loss, other tokens a
fiftieth. Its words are a word-level tokenizer's; the space before a word belongs to it, and a year is two tokens, as in
GPT-2.

## Held out, and how well it does ({n_test} prompts each)

Fifteen of the names and four of the places occur in training only where no name repeats, a tenth of the event nouns
only among random words, and a tenth of the pairs of names, of the (century, year) and of the agreement combinations
never.

{table}

## Limits

It knows its {n_vocab} words and these kinds of sequences, nothing else. Sequences are at most 64 tokens long. Circuits
found in it say something about discovery methods, and nothing about larger models.
"""


def card(model: GPT2LMHeadModel, tokenizer: Tokenizer, scores: dict[str, float], **training: int) -> str:
    """What the model is, how it was trained, and how well it does."""
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items())
    return CARD.format(
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        n_vocab=tokenizer.get_vocab_size() - N_SPECIAL,
        batch=BATCH,
        n_test=N_TEST,
        table=f"| measure | value |\n|---|---|\n{rows}",
        **training,
    )


def main() -> None:
    options = arguments(__doc__, Path("acdc/zoo/acdc-small"), steps=3000)
    tokenizer = build_tokenizer(vocabulary())
    n_vocab = tokenizer.get_vocab_size()
    model = train(
        lambda: new_model(n_vocab, N_POSITIONS),
        lambda rng, step: draw(rng, tokenizer, step),
        steps=options.steps,
        seed=options.seed,
    )
    scores = held_out_scores(model, tokenizer)
    save(model, tokenizer, options.out)
    text = card(model, tokenizer, scores, steps=options.steps, seed=options.seed)
    (options.out / "README.md").write_text(text)
    for name, value in scores.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
