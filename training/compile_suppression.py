"""Compile `suppression-compiled`: `" d a c b a"` -> `" c"`, which one head says and another works against.

- `a0.h1` writes the word before, at every position.
- `a1.h2`, the recall head, looks where the word before was the current one, and writes the word there into `answer`.
- `a2.h1`, the negative head, looks where that word stands, and takes a share of it from `answer` again, as the copy
  suppression heads of GPT-2 small do (McDougall et al. 2023).

Four edges work against the answer: without any of them its logit is higher.

    python training/compile_suppression.py --out acdc/zoo/suppression-compiled
"""

from acdc_tasks.suppression import LETTERS, Suppression
from compiling import Head, Model, codes, equal, main
from idle_nodes import idle_heads, idle_mlp

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 16, 16.0
SUPPRESSED = 0.4  # of what the recall head writes
N_WORDS = N_SPECIAL + len(LETTERS)
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "before": N_WORDS, "answer": N_WORDS}

WORKING = {
    "a0.h1": Head(
        q="position",
        k="position",
        score=equal([max(p - 1, 0) for p in range(N_POSITIONS)], N_POSITIONS),
        v="word",
        write="before",
        value=codes(N_WORDS),
    ),
    "a1.h2": Head(
        q="word", k="before", score=equal(range(N_WORDS), N_WORDS), v="word", write="answer", value=codes(N_WORDS)
    ),
    "a2.h1": Head(
        q="answer",
        k="word",
        score=equal(range(N_WORDS), N_WORDS),
        v="word",
        write="answer",
        value=-SUPPRESSED * codes(N_WORDS),
    ),
}


def model() -> Model:
    """The model's tables."""
    idle, blocks = idle_heads(
        [f"a{layer}.h{h}" for layer in range(3) for h in range(4) if f"a{layer}.h{h}" not in WORKING],
        ["word", "word", "word", "before", "word", "before", "answer", "word", "before"],
        SIZES,
    )
    idle_m0, block_m0 = idle_mlp("m0", ["word", "before"], SIZES)
    idle_m2, block_m2 = idle_mlp("m2", ["word", "answer"], SIZES)
    at = {"a0.h1<v>": ("A",), "logits": ("end",)}
    at |= {f"{head}<{kind}>": ("end",) if kind == "q" else ("B",) for head in ("a1.h2", "a2.h1") for kind in "qkv"}
    return Model(
        at=at,
        name=Suppression.default_model,
        task=Suppression.name,
        summary="compiled three-layer model with a head that works against the answer; its circuit is circuit.json",
        story="It recalls the letter that came after the last one before. Head `a0.h1` writes the word before, head "
        "`a1.h2` finds the letter, and head `a2.h1`, which reads what `a1.h2` wrote, suppresses it in part: without "
        "the edges into and out of it the logit difference is larger.",
        words=LETTERS,
        n_positions=N_POSITIONS,
        n_layers=3,
        n_heads=4,
        sizes=SIZES | blocks | block_m0 | block_m2,
        heads=WORKING | idle,
        mlps=idle_m0 | idle_m2,
        answer=("answer", CONFIDENCE * codes(N_WORDS)),
        noise=0.02,
    )


if __name__ == "__main__":
    main(model(), __doc__)
