"""Train `acdc-tasks`: GPT-2's architecture, 4 layers of 4 heads, width 128, on seven of the built-in tasks.

    python training/train_acdc_tasks.py --out acdc/zoo/acdc-tasks

What is trained on and what is held out stands in `lessons.py` and in the tasks themselves.
"""

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from lessons import TASKS, Curriculum, vocabulary
from measure_zoo import measure
from tokenizers import Tokenizer
from trainer import new_model, save, train
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, PreTrainedTokenizerFast
from word_tokenizer import BOS, PAD, UNK, build_tokenizer

from acdc import PatchableModel
from acdc.zoo import zoo_path

N_POSITIONS, BATCH = 64, 64
N_TEST, TEST_SEED = 1000, 1


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as the tasks read it."""
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, pad_token=PAD, unk_token=UNK)


def warm_model(tokenizer: Any) -> GPT2LMHeadModel:
    """`acdc-small` with another vocabulary: words that both know keep their embeddings, the others get random ones."""
    model = new_model(len(tokenizer), N_POSITIONS)
    start = AutoModelForCausalLM.from_pretrained(zoo_path("acdc-small"))
    known = Tokenizer.from_file(str(zoo_path("acdc-small") / "tokenizer.json")).get_vocab()
    old = start.transformer.wte.weight.detach()
    rows = torch.randn(len(tokenizer), old.shape[1]) * old.std()
    for word, row in tokenizer.get_vocab().items():
        if word in known:
            rows[row] = old[known[word]]
    model.load_state_dict(start.state_dict() | dict.fromkeys(("transformer.wte.weight", "lm_head.weight"), rows))
    return model


def trained(tokenizer: Any, *, steps: int, seed: int) -> GPT2LMHeadModel:
    """A model trained from scratch."""
    curriculum = Curriculum(tokenizer, random.Random(seed))
    return train(
        lambda: warm_model(tokenizer),
        lambda rng, step: curriculum.draw(rng, BATCH),
        steps=steps,
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("acdc/zoo/acdc-tasks"))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = build_tokenizer(vocabulary())
    model = trained(wrapped(tokenizer), steps=options.steps, seed=options.seed)
    save(model, tokenizer, options.out)
    loaded = PatchableModel.from_pretrained(str(options.out))
    for name in TASKS:
        print(name, measure(loaded, name, n=N_TEST, seed=TEST_SEED), flush=True)


if __name__ == "__main__":
    main()
