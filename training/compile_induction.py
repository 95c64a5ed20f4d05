"""Compile `induction-compiled`: a two-layer attention-only model with hand-set weights, whose circuit is known.

The residual stream is cut into blocks. A word is written as a code of zero mean and constant norm (a one-hot vector
minus its mean), and so is a position; heads attend so sharply that they write one code. So every vector that a
LayerNorm reads has zero mean and the same norm, and LayerNorm only multiplies by a constant: what a head does not read
can't touch it.

- `a0.h2`, the previous-token head, copies the word before into the block `previous`.
- `a1.h1`, the induction head, looks for the position whose `previous` is the current word, and copies the word there
  into the block `answer`, which the unembedding reads.
- The other heads attend and write too, each into a block of its own that nobody reads. MLPs write nothing.

    python training/compile_induction.py --out acdc/zoo/induction-compiled
"""

import argparse
import math
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from compiling import carried, codes
from transformers import GPT2Config, GPT2LMHeadModel
from true_spans import save_truth, split_truth
from word_tokenizer import build_tokenizer, save_tokenizer

from acdc import Circuit, Graph

WORDS = [f" {letter}" for letter in string.ascii_lowercase] + [
    f" {letter * 2}" for letter in string.ascii_lowercase[:19]
]
N_SPECIAL = 3
N_WORDS, N_POSITIONS, N_CLASSES = N_SPECIAL + len(WORDS), 32, 5
N_LAYERS, N_HEADS, D_HEAD = 2, 4, 52
D_MODEL = N_HEADS * D_HEAD
SHARPNESS, CONFIDENCE = 60.0, 3.0

SCRAPS = ("a0.h0", "a0.h1", "a0.h3", "a1.h0", "a1.h2", "a1.h3")
SIZES = {"word": N_WORDS, "position": N_POSITIONS, "previous": N_WORDS, "answer": N_WORDS}
SIZES |= {f"scrap {head}": N_CLASSES for head in SCRAPS}


class Head(NamedTuple):
    """What a head reads with q, k and v, where it looks, and what it writes.

    Attributes:
        match: For each value that q reads, the value that k must read; None for the same value.
        write: The block it writes to: the word that v reads, or the word's class in a block of its own.
    """

    q: str
    k: str
    v: str
    write: str
    match: list[int] | None = None


BACK = [[max(p - step, 0) for p in range(N_POSITIONS)] for step in range(3)]  # the position `step` before
HEADS = {
    "a0.h0": Head("position", "position", "word", "scrap a0.h0", BACK[0]),
    "a0.h1": Head("position", "position", "word", "scrap a0.h1", BACK[2]),
    "a0.h2": Head("position", "position", "word", "previous", BACK[1]),
    "a0.h3": Head("position", "position", "word", "scrap a0.h3", [0] * N_POSITIONS),
    "a1.h0": Head("position", "position", "previous", "scrap a1.h0", BACK[0]),
    "a1.h1": Head("word", "previous", "word", "answer"),
    "a1.h2": Head("word", "word", "word", "scrap a1.h2"),
    "a1.h3": Head("position", "position", "previous", "scrap a1.h3", BACK[1]),
}
WRITES = {"input": {"word", "position"}} | {name: {head.write} for name, head in HEADS.items()}
READS = {f"{name}<{kind}>": {getattr(head, kind)} for name, head in HEADS.items() for kind in "qkv"}
READS |= {"m0": set(), "m1": set(), "logits": {"answer"}}
SAME_IN_BOTH_WORLDS = {"position"}  # a corrupted prompt has other words at the same positions


def true_circuit(graph: Graph) -> Circuit:
    """The edges that carry something that is read, that differs between the two worlds, and that reaches the logits.

    It holds where every token of the corrupted prompt differs: task `induction` with corruption `random`.
    """
    mask = graph.prune(graph.mask_of(carried(graph, WRITES, READS, SAME_IN_BOTH_WORLDS)))
    return Circuit(
        graph, mask, provenance={"task": "induction", "model": "induction-compiled", "method": "construction"}
    )


AT = {"a0.h2<v>": ("A",), "a1.h1<q>": ("end",), "a1.h1<k>": ("B",), "a1.h1<v>": ("B",), "logits": ("end",)}
"""At which spans of the task what a destination reads matters."""


def truth_at(spans: Sequence[str]) -> Circuit:
    """The true circuit split by the task's spans."""
    return split_truth(true_circuit(Graph(N_LAYERS, N_HEADS, D_MODEL)), AT, spans)


def block(name: str) -> slice:
    """A block's place in the residual stream."""
    start = 0
    for other, size in SIZES.items():
        if other == name:
            return slice(start, start + size)
        start += size
    raise KeyError(name)


def compile_model() -> GPT2LMHeadModel:
    """The model with its weights set."""
    config = GPT2Config(
        vocab_size=N_WORDS,
        n_positions=N_POSITIONS,
        n_embd=D_MODEL,
        n_layer=N_LAYERS,
        n_head=N_HEADS,
        n_inner=4,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        model.transformer.wte.weight[:, block("word")] = codes(N_WORDS)
        model.transformer.wpe.weight[:, block("position")] = codes(N_POSITIONS)
        model.lm_head.weight[:, block("answer")] = CONFIDENCE * codes(N_WORDS)
        for name, head in HEADS.items():
            layer, h = int(name[1]), int(name[4:])
            set_head(model.transformer.h[layer].attn, h, head, layer)
    return model


def set_head(attn: Any, h: int, head: Head, layer: int) -> None:
    """Write a head's weights into the fused ones. `layer` tells how long the vectors are that LayerNorm divides by."""
    scale = math.sqrt(D_MODEL / squared_norm(layer))
    columns = [slice(kind * D_MODEL + h * D_HEAD, kind * D_MODEL + (h + 1) * D_HEAD) for kind in range(3)]
    n = SIZES[head.q]
    wanted = codes(n) if head.match is None else torch.eye(n, dtype=torch.float64)[head.match]
    sharp = SHARPNESS * math.sqrt(D_HEAD) / scale**2
    attn.c_attn.weight[block(head.q), columns[0]][:, :n] = sharp * wanted
    attn.c_attn.weight[block(head.k), columns[1]][:, :n] = codes(n)
    if head.k == "previous":  # position 0 has no word before it: what it holds there does not count
        attn.c_attn.bias[columns[0]][n] = -sharp
        attn.c_attn.weight[block("position"), columns[1]][:, n] = codes(N_POSITIONS)[:, 0]
    read = codes(N_WORDS)
    attn.c_attn.weight[block(head.v), columns[2]][:, :N_WORDS] = read / scale
    rows = slice(h * D_HEAD, h * D_HEAD + N_WORDS)
    if head.write.startswith("scrap"):
        classes = codes(N_CLASSES)[torch.arange(N_WORDS) % N_CLASSES]
        attn.c_proj.weight[rows, block(head.write)] = classes
    else:
        attn.c_proj.weight[rows, block(head.write)] = read


def squared_norm(layer: int) -> float:
    """Squared norm of the residual stream before a layer: one code of each block that was written."""
    blocks = ["word", "position", *(head.write for name, head in HEADS.items() if int(name[1]) < layer)]
    return sum(1 - 1 / SIZES[name] for name in blocks)


CARD = """---
license: mit
summary: compiled two-layer attention-only induction model; its true circuit is circuit.json
---

# induction-compiled

A GPT-2-architecture model of 2 layers with 4 heads, whose weights were set by hand, not trained. It continues repeated
sequences of the words " a" to " z" and " aa" to " ss" (at most 32 tokens). Head `a0.h2` copies the previous word, head
`a1.h1` finds where the current word came before and copies the word after it. The other six heads attend and write
what nobody reads; the MLPs write nothing.

`circuit.json` holds the true circuit for the task `induction` with corruption `random`, derived by the same script from
what each head reads and writes: {edges}.
`circuit-by-span.json` holds the same edges, each at the spans of the task where it acts.

Made by `python training/compile_induction.py --out acdc/zoo/induction-compiled`.

It knows nothing but this: it has no use outside of checking discovery methods.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("acdc/zoo/induction-compiled"))
    out = parser.parse_args().out
    compile_model().float().save_pretrained(out)
    save_tokenizer(build_tokenizer(WORDS), out, n_positions=N_POSITIONS)
    circuit = true_circuit(Graph(N_LAYERS, N_HEADS, D_MODEL))
    save_truth(circuit, AT, out)
    (out / "README.md").write_text(CARD.format(edges=", ".join(f"`{edge}`" for edge in circuit.edges)))
    print(f"wrote {out}: {circuit!r}")


if __name__ == "__main__":
    main()
