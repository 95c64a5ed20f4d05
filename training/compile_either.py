"""Compile `either-compiled`: `" a so= k c but! k d"` -> `" k"`, where either of two statements is enough: an OR.

- `a0.h1` writes the word before, at every position.
- `a1.h0` looks for the position after `=`, and writes which letter stands there, or that none does.
- `a1.h2` does the same after `!`.
- `m1` says the letter that either of them names, and none where neither names one. Two names of one letter give no more
  than one does: its hidden units are saturated.

So `a0.h1` is always needed, and of the paths through `a1.h0` and `a1.h2` one. Removing one of them changes nothing.

    python training/compile_either.py --out acdc/zoo/either-compiled
"""

import torch
from acdc_tasks.either import FILLERS, LETTERS, NONE, SIGNS, Either
from compiling import MLP, SHARPNESS, Head, Model, codes, equal, main, steps
from idle_nodes import idle_heads, idle_mlp

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 20, 12.0
WORDS = (*LETTERS, *FILLERS, *SIGNS, NONE)
N_WORDS = N_SPECIAL + len(WORDS)
ID = {word: N_SPECIAL + i for i, word in enumerate(WORDS)}
NAMES = (NONE, *LETTERS)  # what a statement can name
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "before": N_WORDS} | dict.fromkeys(
    ("first", "second", "answer"), len(NAMES)
)
THRESHOLD, GAP = 0.7, 0.25
"""Where a letter counts as named. A head that finds its sign writes 1 for a letter; one that doesn't looks at all of at
least 12 words, among them the letter twice: two such heads come to 4/12."""


def before() -> Head:
    """The word before."""
    back = equal([max(p - 1, 0) for p in range(N_POSITIONS)], N_POSITIONS)
    return Head(q="position", k="position", score=back, v="word", write="before", value=codes(N_WORDS))


def statement(sign: str, write: str) -> Head:
    """The letter after a sign."""
    named = [NAMES.index(word) if word in NAMES else 0 for word in ("", "", "", *WORDS)]
    wanted = SHARPNESS * torch.eye(N_WORDS, dtype=torch.float64)[[ID[sign]]]
    return Head(k="before", score=wanted, v="word", write=write, value=codes(len(NAMES))[named])


def either() -> MLP:
    """None, or the letter that is named."""
    weights: dict[str, list[torch.Tensor]] = {"first": [], "second": []}
    biases, out, code = [], [], codes(len(NAMES))
    for i in range(1, len(NAMES)):
        letter = torch.eye(len(NAMES), dtype=torch.float64)[i]
        units, bias = steps(dict.fromkeys(weights, letter), [THRESHOLD], GAP)
        for block, weight in units.items():
            weights[block].append(weight)
        biases.append(bias)
        out += [code[i] - code[0], code[0] - code[i]]
    together = {block: torch.cat(parts, 1) for block, parts in weights.items()}
    return MLP(together, torch.cat(biases), "answer", torch.stack(out), base=code[0])


def model() -> Model:
    """The model's tables."""
    idle, blocks = idle_heads(
        ["a0.h0", "a0.h2", "a0.h3", "a1.h1", "a1.h3"], ["word", "word", "word", "before", "word"], SIZES
    )
    idle_m0, block_m0 = idle_mlp("m0", ["word", "before"], SIZES)
    logits = torch.zeros(len(NAMES), N_WORDS, dtype=torch.float64)
    logits[range(len(NAMES)), [ID[word] for word in NAMES]] = CONFIDENCE
    at = {"a0.h1<v>": ("equals", "bang"), "m1": ("end",), "logits": ("end",)}
    at |= {
        f"{head}<{kind}>": ("rest", "end") for head in ("a1.h0", "a1.h2") for kind in "kv"
    }  # the letter behind a sign
    return Model(
        at=at,
        name=Either.default_model,
        task=Either.name,
        summary="compiled two-layer model with two ways to the answer, each enough; its true circuit is circuit.json",
        story="It says the letter that stands after `=` and after `!`. Head `a0.h1` writes the word before, head "
        "`a1.h0` finds the letter after `=` and head `a1.h2` the one after `!`, and `m1` says it if either of them has "
        "found it: the paths through the two are an OR.",
        words=WORDS,
        n_positions=N_POSITIONS,
        n_layers=2,
        n_heads=4,
        sizes=SIZES | blocks | block_m0,
        heads={"a0.h1": before(), "a1.h0": statement("=", "first"), "a1.h2": statement("!", "second")} | idle,
        mlps={"m1": either()} | idle_m0,
        answer=("answer", logits),
        noise=0.02,
        backups=("a1.h0", "a1.h2"),
    )


if __name__ == "__main__":
    main(model(), __doc__)
