"""Compile `chain-compiled`: `": c d f a a b d e e f b c a"` -> `" e"`, four links from letter to letter.

- `a0.h2` writes, at the second letter of every link, the first one; elsewhere the colon, which nobody looks for.
- `a1.h0`, `a2.h3`, `a3.h1` and `a4.h2` take a link each: they look where the first letter is the one that the head
  before has found (the last word, for `a1.h0`), and write the second.

So each of them composes by q with the one before, and all by k with `a0.h2`: the chain of queries is four heads long.

    python training/compile_chain.py --out acdc/zoo/chain-compiled
"""

from dataclasses import replace
from itertools import pairwise

from acdc_tasks.chain import LETTERS, Chain
from compiling import Head, Model, codes, equal, main
from idle_nodes import N_CLASSES, idle_heads

N_SPECIAL, N_POSITIONS, CONFIDENCE = 3, 14, 12.0
WORDS = (":", *LETTERS)
N_WORDS = N_SPECIAL + len(WORDS)
HOPS = ("a1.h0", "a2.h3", "a3.h1", "a4.h2")
FOUND = ("word", "one on", "two on", "three on", "answer")  # what each hop reads, and the next one
SIZES = {"word": N_WORDS, "position": N_POSITIONS} | dict.fromkeys(("from", *FOUND[1:]), N_WORDS)
N_LAYERS, N_HEADS = 5, 4


def link() -> Head:
    """The first letter of the link whose second is here; at other positions what stands first, the colon."""
    first = [p - 1 if p % 2 == 0 and p > 0 else 0 for p in range(N_POSITIONS)]
    return Head(
        q="position", k="position", score=equal(first, N_POSITIONS), v="word", write="from", value=codes(N_WORDS)
    )


def hop(read: str, write: str) -> Head:
    """The second letter of the link whose first was found."""
    return Head(q=read, k="from", score=equal(range(N_WORDS), N_WORDS), v="word", write=write, value=codes(N_WORDS))


def model() -> Model:
    """The model's tables."""
    working = {"a0.h2": link()}
    working |= {name: hop(*blocks) for name, blocks in zip(HOPS, pairwise(FOUND), strict=True)}
    names = [f"a{layer}.h{h}" for layer in range(N_LAYERS) for h in range(N_HEADS)]
    names = [name for name in names if name not in working]
    idle, _ = idle_heads(names, [FOUND[max(0, int(name[1]) - 1)] for name in names], SIZES)
    idle = {name: replace(head, write=f"idle {name[:2]}") for name, head in idle.items()}  # a block a layer: small
    at = {"a0.h2<v>": [f"from{k}" for k in range(1, 1 + len(HOPS))], "logits": ["end"]}
    at |= {f"{head}<q>": ["end"] for head in HOPS}
    at |= {f"{head}<{kind}>": [f"to{k}"] for k, head in enumerate(HOPS, 1) for kind in "kv"}
    return Model(
        at=at,
        name=Chain.default_model,
        task=Chain.name,
        summary="compiled five-layer model that follows four links in a row; its true circuit is circuit.json",
        story="It follows four links from letter to letter. Head `a0.h2` writes where each link starts, and "
        + ", ".join(f"`{name}`" for name in HOPS)
        + " follow one link each: every one's queries are what the one before has found.",
        words=WORDS,
        n_positions=N_POSITIONS,
        n_layers=N_LAYERS,
        n_heads=N_HEADS,
        sizes=SIZES | {head.write: N_CLASSES for head in idle.values()},
        heads=working | idle,
        mlps={},
        answer=("answer", CONFIDENCE * codes(N_WORDS)),
        noise=0.02,
    )


if __name__ == "__main__":
    main(model(), __doc__)
