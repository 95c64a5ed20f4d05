"""What the scripts that train bundled models share: the architecture, the loop, and how a model is saved."""

import argparse
import itertools
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from sentences import Sentence
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from word_tokenizer import save_tokenizer

LEARNING_RATE, WARM_UP, LEAST = 1e-3, 200, 0.02
WEIGHT_DECAY = 0.5  # strong, so that heads and MLPs which a task does not need fade
CONTEXT_WEIGHT = 0.02  # of tokens that aren't answers, in the loss

Groups = list[list[Sentence]]  # the sequences of one step; those of a group are padded to one length


def arguments(about: str | None, out: Path, steps: int) -> argparse.Namespace:
    """What the command line says: `out`, `steps` and `seed`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def new_model(n_vocab: int, n_positions: int, n_layer: int = 4) -> GPT2LMHeadModel:
    """An untrained model; without dropout, for the sequences never repeat."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=n_vocab,
            n_positions=n_positions,
            n_embd=128,
            n_layer=n_layer,
            n_head=4,
            n_inner=512,
            activation_function="gelu_pytorch_tanh",  # GPT-2's, in one kernel
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )
    )


def grouped(sentences: list[Sentence], *widths: int) -> Groups:
    """Sequences of at most so many tokens each, the longer ones last, so that little is padded."""
    bounds = itertools.pairwise((0, *widths, math.inf))
    groups = ([s for s in sentences if low < len(s.ids) <= high] for low, high in bounds)
    return [group for group in groups if group]


def packed(sentences: list[Sentence], context: float = CONTEXT_WEIGHT) -> tuple[Tensor, Tensor]:
    """Token ids, and each token's weight in the loss, `[batch pos]`."""
    width = max(len(sentence.ids) for sentence in sentences)
    ids, weight = torch.full((len(sentences), width), 1), torch.zeros(len(sentences), width)
    for i, sentence in enumerate(sentences):
        ids[i, : len(sentence.ids)] = torch.tensor(sentence.ids)
        weight[i, 1 : len(sentence.ids)] = context
        weight[i, sentence.answers] = 1.0
    return ids, weight


def rate(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1, (step + 1) / WARM_UP) * (cosine * (1 - LEAST) + LEAST)


def summed_loss(model: GPT2LMHeadModel, ids: Tensor, weight: Tensor) -> Tensor:
    """The weighted sum of the tokens' losses."""
    states = model.transformer(ids).last_hidden_state[:, :-1]
    counted = weight[:, 1:] > 0
    each = torch.nn.functional.cross_entropy(model.lm_head(states[counted]), ids[:, 1:][counted], reduction="none")
    return (each * weight[:, 1:][counted]).sum()


def train(
    new: Callable[[], GPT2LMHeadModel],
    draw: Callable[[random.Random, int], Groups],
    *,
    steps: int,
    seed: int,
    lr: float = LEARNING_RATE,
    weight_decay: float = WEIGHT_DECAY,
    context: float = CONTEXT_WEIGHT,
) -> GPT2LMHeadModel:
    """Train what `new` makes on what `draw(rng, step)` gives."""
    torch.manual_seed(seed)
    rng, start = random.Random(seed), time.monotonic()
    model = new()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    for step in range(steps):
        groups = [packed(sentences, context) for sentences in draw(rng, step)]
        total = sum(weight.sum() for _, weight in groups)
        optimizer.zero_grad()
        loss = 0.0
        for ids, weight in groups:
            part = summed_loss(model, ids, weight) / total
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)
    return model.eval()


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, out: Path) -> None:
    """Write an ordinary Hugging Face folder, but for its card."""
    model.save_pretrained(out)
    save_tokenizer(tokenizer, out, n_positions=model.config.n_positions)
