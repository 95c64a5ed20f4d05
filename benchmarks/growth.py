"""How time and memory grow with prompts, length, layers, heads, width and edges: exponents and a plot.

    python benchmarks/growth.py                       # all factors, GPT-2's architecture
    python benchmarks/growth.py --family llama        # Llama's, two query heads for each key/value head
    python benchmarks/growth.py --only prompts --only edges
    python benchmarks/growth.py --quick               # three small steps of each

Models have random weights. One factor doubles, all else stays as in `Shape`; for `edges`, layers and heads double
together, at a fixed width. Measured are a plain forward pass of the unmodified model; EAP with the clean and ablated
runs that it needs; a masked forward of half of the edges; the exact effect of one edge, by ACDC's engine, as the mean
of random edges asked for one by one; and what EAP adds to the process's memory at its peak.

The exponent b of y = a x^b is the slope of the least squares line through the logarithms, with its 95% interval by
Student's t. Small steps of a small model are mostly overhead, so they lie below what large models tend to.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from scipy import stats
from timing import CLOCKS, added_memory, beside, forward_call

from acdc import PatchableModel
from acdc.discovery.attribution.eap import eap
from acdc.evaluation.figures import new_figure, save_figure
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch


class Shape(NamedTuple):
    """A model and a batch."""

    prompts: int = 32
    tokens: int = 16
    layers: int = 4
    heads: int = 4
    width: int = 256


VOCAB, N_ASKED = 1000, 50
GROWING: dict[str, list[Shape]] = {
    "prompts": [Shape(prompts=n) for n in (16, 32, 64, 128, 256)],
    "tokens": [Shape(tokens=n) for n in (8, 16, 32, 64, 128)],
    "layers": [Shape(layers=n) for n in (2, 4, 8, 16, 32)],
    "heads": [Shape(heads=n) for n in (2, 4, 8, 16, 32)],
    "width": [Shape(width=n) for n in (64, 128, 256, 512, 1024)],
    "edges": [Shape(layers=n, heads=n) for n in (2, 4, 8, 16)],
}
MEASURES = ("plain forward", "EAP", "masked forward, half", "exact effect of an edge", "EAP's memory")


class Fit(NamedTuple):
    """y = a x^exponent, with the exponent's 95% interval."""

    exponent: float
    low: float
    high: float


def fitted(x: Sequence[float], y: Sequence[float]) -> Fit | None:
    """The power law through three points or more; None where there are fewer that are positive.

    >>> fitted([1, 2, 4, 8], [3, 12, 48, 192])[0]
    2.0
    """
    pairs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True) if a > 0 and b > 0]
    if len(pairs) < 3:
        return None
    line = stats.linregress(*zip(*pairs, strict=True))
    half = float(stats.t.ppf(0.975, len(pairs) - 2)) * float(line.stderr)
    return Fit(float(line.slope), float(line.slope) - half, float(line.slope) + half)


def problem_of(shape: Shape, family: str) -> Problem:
    """Random weights and random prompts, which differ in their second half."""
    torch.manual_seed(0)
    hf = FAMILIES[family](shape).eval()
    model = PatchableModel(hf, None, name=family)
    ids = torch.randint(0, VOCAB, (2, shape.prompts, shape.tokens))
    ids[1, :, : shape.tokens // 2] = ids[0, :, : shape.tokens // 2]
    answers = torch.stack([torch.randperm(VOCAB)[:2] for _ in range(shape.prompts)])
    real = torch.ones(shape.prompts, shape.tokens, dtype=torch.bool)
    batch = PromptBatch(ids[0], ids[1], real, answers[:, :1], answers[:, 1:], "random")
    return Problem.make(model, batch, metric="logit_diff")


def gpt2(shape: Shape) -> torch.nn.Module:
    config = transformers.GPT2Config(
        n_layer=shape.layers, n_head=shape.heads, n_embd=shape.width, vocab_size=VOCAB, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def llama(shape: Shape) -> torch.nn.Module:
    config = transformers.LlamaConfig(
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        hidden_size=shape.width,
        intermediate_size=8 * shape.width // 3,
        vocab_size=VOCAB,
    )
    return transformers.LlamaForCausalLM(config)


FAMILIES: dict[str, Callable[[Shape], torch.nn.Module]] = {"gpt2": gpt2, "llama": llama}


def measured(shape: Shape, options: argparse.Namespace) -> dict[str, float]:
    """Seconds and GB of everything, and how many edges there are."""
    problem, clock = problem_of(shape, options.family), CLOCKS[options.clock]
    graph, forward = problem.model.graph, forward_call(problem)
    draw = torch.rand(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(0))
    half = graph.edges_mask & (draw <= 0.5)
    memory = added_memory(lambda: _eap(problem))
    problem.logits(half)  # what a problem's passes share is made once
    scores = beside(lambda: _eap(problem), forward, repeats=options.repeats, clock=clock)
    masked = beside(lambda: problem.logits(half), forward, repeats=options.repeats, clock=clock)
    edges = beside(_asked(problem), forward, repeats=options.repeats, clock=clock)
    times = (scores.yardstick, scores.own, masked.own, edges.own / N_ASKED, memory)
    return dict(zip(MEASURES, times, strict=True)) | {"edges": graph.n_edges}


def _eap(problem: Problem) -> torch.Tensor:
    """With the runs that it needs, which a problem makes once."""
    return eap(Problem.make(problem.model, problem.batch, metric="logit_diff")).scores


def _asked(problem: Problem) -> Callable[[], None]:
    """Ask for the exact effects of random edges of the whole model, one by one."""
    state, places = CircuitState(problem), problem.model.graph.edges_mask.nonzero().tolist()
    edges = [tuple(places[place]) for place in np.random.default_rng(0).integers(0, len(places), N_ASKED)]

    @torch.no_grad()
    def ask() -> None:
        for edge in edges:
            state.losses([edge])

    return ask


def table(factor: str, x: Sequence[float], rows: Sequence[Mapping[str, float]]) -> None:
    """A factor's measurements, and under each column its exponent."""
    print(f"\n| {factor} | " + " | ".join(f"{name}, {'GB' if 'memory' in name else 's'}" for name in MEASURES) + " |")
    print("|---" * (1 + len(MEASURES)) + "|")
    for value, row in zip(x, rows, strict=True):
        print(f"| {value:,.0f} | " + " | ".join(f"{row[name]:.3g}" for name in MEASURES) + " |")
    fits = [fitted(x, [row[name] for row in rows]) for name in MEASURES]
    words = ["-" if fit is None else f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})" for fit in fits]
    print(f"| **exponent** | {' | '.join(words)} |", flush=True)


def draw_growth(found: Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, float]]]], path: Path) -> Path:
    """A panel for each factor, on logarithmic axes: measured points and the fitted lines."""
    columns = min(3, len(found))
    figure = new_figure(path, (4.6 * columns, 3.8 * math.ceil(len(found) / columns)))
    axes = figure.subplots(math.ceil(len(found) / columns), columns, squeeze=False).flat
    for each, (factor, (x, rows)) in itertools.zip_longest(axes, found.items(), fillvalue=("", ((), ()))):
        each.set_visible(bool(factor))
        for place, name in enumerate(MEASURES):
            y = [row[name] for row in rows]
            if (fit := fitted(x, y)) is None:
                continue
            style = "s--" if "memory" in name else "o-"
            each.loglog(x, y, style, ms=4, lw=1, color=f"C{place}", label=f"{name}: {fit.exponent:.2f}")
        each.set_xlabel(factor)
        each.set_ylabel("seconds; GB (dashed)")
        each.spines[["top", "right"]].set_visible(False)
        if factor:
            each.legend(frameon=False, fontsize=7)
    return save_figure(figure, path)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="gpt2")
    parser.add_argument("--only", action="append", choices=GROWING, help="a factor; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the first three steps, once")
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="[cpu: that of the process, all threads]")
    parser.add_argument("--plot", type=Path, default=Path("growth.svg"), help="[growth.svg]; .png or .pdf too")
    options = parser.parse_args(words)
    if options.quick:
        options.repeats = 1
    transformers.utils.logging.set_verbosity_error()
    print(f"{options.family}, {torch.get_num_threads()} threads, {options.clock} seconds, torch {torch.__version__}")
    print(f"one factor grows from {', '.join(f'{k} {v}' for k, v in Shape()._asdict().items())}")
    found = {}
    for factor in options.only or GROWING:
        shapes = GROWING[factor][: 3 if options.quick else None]
        rows = [measured(shape, options) for shape in shapes]
        x = [row["edges"] for row in rows] if factor == "edges" else [getattr(shape, factor) for shape in shapes]
        found[factor] = (x, rows)
        table(factor, x, rows)
    print(f"\n{draw_growth(found, options.plot)}")


if __name__ == "__main__":
    main()
