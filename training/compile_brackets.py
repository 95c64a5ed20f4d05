"""Compile `brackets-compiled`: whether brackets are balanced, after Tracr's `shuffle_dyck` with one kind of bracket.

- `a0.h1` looks at all positions and writes the mean of +1 for each bracket that opens and -1 for each that closes: the
  depth.
- `m0` writes whether the depth is below zero: a bracket closes that is not open.
- `a1.h2` looks at all positions and writes the mean of that.
- `m1` says no where the depth at the end is not zero, or was below zero anywhere.

    python training/compile_brackets.py --out acdc/zoo/brackets-compiled
"""

import torch
from acdc_tasks.brackets import Brackets
from compiling import MLP, Head, Model, codes, main, steps
from idle_nodes import idle_heads, idle_mlp
from torch import Tensor

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 16, 16.0
WORDS = ("(", ")", "?", " yes", " no")
N_WORDS = N_SPECIAL + len(WORDS)
OPEN, CLOSE, YES, NO = (N_SPECIAL + WORDS.index(word) for word in ("(", ")", " yes", " no"))
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "depth": 2, "below": 2, "ever below": 2, "verdict": 2}
UP = torch.tensor([0.5, -0.5], dtype=torch.float64)  # what a block of size 2 holds for 1; for -1 its opposite
LEAST = 1 / (Brackets.longest + 1)  # a mean over the longest prompt that isn't zero


def depth() -> Head:
    """The mean of the brackets' signs."""
    signs = torch.zeros(N_WORDS, 2, dtype=torch.float64)
    signs[OPEN], signs[CLOSE] = UP, -UP
    return Head(v="word", write="depth", value=signs)


def below() -> MLP:
    """Whether the depth is below zero."""
    weights, bias = steps({"depth": -2 * UP}, [LEAST / 2], LEAST / 2)
    return MLP(weights, bias, "below", torch.stack([UP, -UP]))


def verdict() -> MLP:
    """Yes, less a no for each fault: depth above zero, depth below zero, ever below zero."""
    nothing = torch.zeros(2, dtype=torch.float64)
    faults: list[dict[str, Tensor]] = [
        {"depth": sign * 2 * UP, "ever below": ever * 2 * UP} for sign, ever in ((1, 0), (-1, 0), (0, 1))
    ]
    units = [steps({block: fault.get(block, nothing) for block in fault}, [LEAST / 2], LEAST / 2) for fault in faults]
    weights = {block: torch.cat([unit[0][block] for unit in units], 1) for block in faults[0]}
    code = codes(2)
    worse = code[1] - code[0]
    return MLP(weights, torch.cat([bias for _, bias in units]), "verdict", torch.stack([worse, -worse] * 3), code[0])


def model() -> Model:
    """The model's tables."""
    idle, blocks = idle_heads(
        [f"a{layer}.h{h}" for layer in range(3) for h in range(4) if (layer, h) not in ((0, 1), (1, 2))],
        ["word", "word", "word", "below", "depth", "word", "ever below", "verdict", "depth", "word"],
        SIZES,
    )
    idle_m2, block_m2 = idle_mlp("m2", ["word", "depth", "verdict"], SIZES)
    logits = torch.zeros(2, N_WORDS, dtype=torch.float64)
    logits[0, YES] = logits[1, NO] = CONFIDENCE
    everywhere = ("brackets", "end")
    at = {"a0.h1<v>": ("brackets",), "m0": everywhere, "a1.h2<v>": everywhere, "m1": ("end",), "logits": ("end",)}
    return Model(
        at=at,
        name=Brackets.default_model,
        task=Brackets.name,
        summary="compiled three-layer model that checks brackets; its true circuit is circuit.json",
        story="It tells whether at most 12 brackets are balanced. Head `a0.h1` computes the depth, `m0` finds where it "
        "is below zero, head `a1.h2` whether that is so anywhere, and `m1` decides. Layer 2 does nothing of use.",
        words=WORDS,
        n_positions=N_POSITIONS,
        n_layers=3,
        n_heads=4,
        sizes=SIZES | blocks | block_m2,
        heads={"a0.h1": depth(), "a1.h2": Head(v="below", write="ever below", value=codes(2))} | idle,
        mlps={"m0": below(), "m1": verdict()} | idle_m2,
        answer=("verdict", logits),
    )


if __name__ == "__main__":
    main(model(), __doc__)
