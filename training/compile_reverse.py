"""Compile `reverse-compiled`: `" a b c d: d c"` -> `" b"`, after Tracr's reversal.

- `a0.h2` looks for the colon and writes its position, which is the number n of letters.
- `m0` reads it and its own position t, and writes the position of the letter to say, `2n - 1 - t`.
- `a1.h1` looks at that position and copies the letter.

    python training/compile_reverse.py --out acdc/zoo/reverse-compiled
"""

import torch
from acdc_tasks.reverse import LETTERS, Reverse
from compiling import MLP, SATURATED, SHARPNESS, Head, Model, codes, equal, main
from idle_nodes import idle_heads, idle_mlp

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 16, 12.0
WORDS = (*LETTERS, ":")
N_WORDS = N_SPECIAL + len(WORDS)
COLON = N_WORDS - 1
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "colon": N_POSITIONS, "source": N_POSITIONS, "answer": N_WORDS}

WORKING = {
    "a0.h2": Head(
        k="word",
        score=SHARPNESS * torch.eye(N_WORDS, dtype=torch.float64)[[COLON]],
        v="position",
        write="colon",
        value=codes(N_POSITIONS),
    ),
    "a1.h1": Head(
        q="source",
        k="position",
        score=2 * equal(range(N_POSITIONS), N_POSITIONS),
        v="word",
        write="answer",
        value=codes(N_WORDS),
    ),
}


def position_to_copy() -> MLP:
    """One hidden unit for each number of letters and position, at work where both are so."""
    cases = [(n, t) for n in range(Reverse.shortest, Reverse.longest + 1) for t in range(n, 2 * n)]
    lengths, positions = (torch.tensor(values) for values in zip(*cases, strict=True))
    one_hot = torch.eye(N_POSITIONS, dtype=torch.float64)
    return MLP(
        weights={"colon": SATURATED * one_hot[:, lengths], "position": SATURATED * one_hot[:, positions]},
        bias=torch.full((len(cases),), -SATURATED, dtype=torch.float64),
        write="source",
        out=codes(N_POSITIONS)[2 * lengths - 1 - positions] / SATURATED,
    )


def model() -> Model:
    """The model's tables."""
    idle, blocks = idle_heads(
        ["a0.h0", "a0.h1", "a0.h3", "a1.h0", "a1.h2", "a1.h3"],
        ["word", "word", "word", "colon", "source", "word"],
        SIZES,
    )
    idle_m1, block_m1 = idle_mlp("m1", ["word", "colon", "answer"], SIZES)
    anywhere = ("prefix", "rest", "copied", "end")  # a colon of either side
    return Model(
        at={"a0.h2<k>": anywhere, "m0": ("end",), "a1.h1<q>": ("end",), "a1.h1<v>": ("copied",), "logits": ("end",)},
        name=Reverse.default_model,
        task=Reverse.name,
        summary="compiled two-layer model that says letters backwards; its true circuit is circuit.json",
        story="It reverses a sequence of 3 to 7 different letters. Head `a0.h2` finds the colon, `m0` computes which "
        "position is to be copied, and head `a1.h1` copies the letter there.",
        words=WORDS,
        n_positions=N_POSITIONS,
        n_layers=2,
        n_heads=4,
        sizes=SIZES | blocks | block_m1,
        heads=WORKING | idle,
        mlps={"m0": position_to_copy()} | idle_m1,
        answer=("answer", CONFIDENCE * codes(N_WORDS)),
    )


if __name__ == "__main__":
    main(model(), __doc__)
