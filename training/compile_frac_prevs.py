"""Compile `frac-prevs-compiled`: the share of the letters so far that are x, in tenths, after Tracr's `frac_prevs`.

- `m0` writes whether a word is x.
- `a1.h2` looks at all positions and writes the mean of that: the share.
- `m1` writes how many tenths the share is.

    python training/compile_frac_prevs.py --out acdc/zoo/frac-prevs-compiled
"""

import torch
from acdc_tasks.frac_prevs import LETTERS, TENTHS, FracPrevs
from compiling import MLP, Head, Model, codes, main, steps
from idle_nodes import idle_heads

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 16, 12.0
WORDS = (*LETTERS, *TENTHS)
N_WORDS = N_SPECIAL + len(WORDS)
X = N_SPECIAL + LETTERS.index(" x")
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "is x": 2, "share": 2, "tenths": len(TENTHS)}
UP = torch.tensor([0.5, -0.5], dtype=torch.float64)  # what a block of size 2 holds for 1; for 0 it holds nothing


def is_x() -> MLP:
    """Whether the word is x."""
    weights, bias = steps({"word": torch.eye(N_WORDS, dtype=torch.float64)[X]}, [0.5], 0.5)
    return MLP(weights, bias, "is x", torch.stack([UP, -UP]))


def tenths() -> MLP:
    """How many tenths the share is: a step at each tenth, and half as far before it as shares of 12 words come."""
    gap = 1 / (2 * 10 * FracPrevs.longest)
    weights, bias = steps({"share": 2 * UP}, [tenth / 10 - gap for tenth in range(1, len(TENTHS))], gap)
    code = codes(len(TENTHS))
    rise = code[1:] - code[:-1]
    return MLP(weights, bias, "tenths", torch.stack([rise, -rise], 1).flatten(0, 1), base=code[0])


def model() -> Model:
    """The model's tables."""
    idle, blocks = idle_heads(
        [f"a{layer}.h{h}" for layer in range(2) for h in range(4) if (layer, h) != (1, 2)],
        ["word", "word", "position", "word", "is x", "word", "is x"],
        SIZES,
    )
    logits = torch.zeros(len(TENTHS), N_WORDS, dtype=torch.float64)
    logits[:, -len(TENTHS) :] = CONFIDENCE * torch.eye(len(TENTHS), dtype=torch.float64)
    return Model(
        at={"m0": ("letters", "end"), "a1.h2<v>": ("letters", "end"), "m1": ("end",), "logits": ("end",)},
        name=FracPrevs.default_model,
        task=FracPrevs.name,
        summary="compiled two-layer model that tells the share of x among letters; its true circuit is circuit.json",
        story="It tells which share of at most 12 letters is x, in tenths. `m0` finds the x's, head `a1.h2` takes "
        "their mean over all positions, and `m1` turns the share into tenths.",
        words=WORDS,
        n_positions=N_POSITIONS,
        n_layers=2,
        n_heads=4,
        sizes=SIZES | blocks,
        heads={"a1.h2": Head(v="is x", write="share", value=codes(2))} | idle,
        mlps={"m0": is_x(), "m1": tenths()},
        answer=("tenths", logits),
    )


if __name__ == "__main__":
    main(model(), __doc__)
