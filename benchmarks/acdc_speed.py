"""ACDC's speed: the exact engine against one masked forward per edge, and its cost at GPT-2 small's full shape.

    python benchmarks/acdc_speed.py             # both parts
    python benchmarks/acdc_speed.py --only ioi  # the bundled model, IOI
    python benchmarks/acdc_speed.py --only gpt2 # GPT-2 small's shape, random weights

The naive engine is the same ACDC with a whole masked forward (`acdc.patching.masked`) for every edge, in which every
node is computed; both run in this process, one after the other, and must keep the same edges. Times are medians over
`--repeats` runs.
"""

import argparse
import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table
from timing import Stopwatch

from acdc.discovery import DiscoveryResult
from acdc.discovery.acdc import acdc
from acdc.discovery.order import edge_order
from acdc.models import PatchableModel
from acdc.patching.exact.reachability import reach, reading
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.prompts.batch import PromptBatch
from acdc.task import load_task

console = Console(width=None if sys.stdout.isatty() else 120)


def naive_acdc(problem: Problem, tau: float) -> torch.Tensor:
    """ACDC with one whole masked forward for every edge: every node, every position."""
    mask = problem.model.graph.edges_mask
    loss = naive_loss(problem, mask)
    for edge in edge_order(problem.model.graph):
        mask[edge] = False
        new = naive_loss(problem, mask)
        mask[edge] = not new - loss < tau
        loss = loss if mask[edge] else new
    return mask


@torch.no_grad()
def naive_loss(problem: Problem, mask: torch.Tensor) -> float:
    weights = mask.to(problem.model.dtype)
    return problem.loss(weighted_logits(problem.masked, weights))


def timed(call: Callable[[], torch.Tensor | DiscoveryResult]) -> tuple[float, torch.Tensor | DiscoveryResult]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def bundled_ioi(repeats: int, taus: list[float]) -> None:
    """The bundled model's IOI with 50 prompts, in float64 for the comparison of edges and float32 for the times."""
    table = Table(
        "tau", "edges kept", "same edges (float64)", "naive s", "engine s", "ratio", title="acdc-small, IOI, n=50"
    )
    for tau in taus:
        console.print(f"tau {tau:g}: {1 + repeats} searches by the naive engine, a minute or less each ...")
        exact, fast = (ioi_problem(dtype) for dtype in ("float64", "float32"))
        same = torch.equal(naive_acdc(exact, tau), acdc(exact, tau=tau, prune=False).mask)
        slow = statistics.median(timed(lambda p=fast, t=tau: naive_acdc(p, t))[0] for _ in range(repeats))
        times, found = zip(*(timed(lambda p=fast, t=tau: acdc(p, tau=t)) for _ in range(5 * repeats)), strict=True)
        quick = statistics.median(times)
        n_kept = int(found[-1].mask.sum())
        table.add_row(f"{tau:g}", str(n_kept), str(same), f"{slow:.2f}", f"{quick:.3f}", f"{slow / quick:.0f}x")
    console.print(table)
    savings(ioi_problem("float32"), taus[0])


def ioi_problem(dtype: str) -> Problem:
    model = PatchableModel.from_pretrained("acdc-small", dtype=dtype)
    return Problem.make(model, load_task("ioi").batch(model.tokenizer, 50, 0), metric="kl")


def savings(problem: Problem, tau: float) -> None:
    """What each fact saves, counted along the search: forward passes, then node-positions within a pass."""
    graph, batch = problem.model.graph, problem.batch
    found = acdc(problem, tau=tau, prune=False)
    whole = downstream = reached = where_read = changing = 0
    mask, per_prompt = graph.edges_mask.numpy().copy(), float(problem.ablated.active.sum()) / batch.n
    for src, dst in edge_order(graph):
        node = graph.src_of_dst[dst]
        if node is None or mask[node].any():
            read = reading(graph, mask)
            change = reach(graph, mask, read, [dst])
            full = graph.n_src - 1
            whole += full * batch.n_pos
            downstream += (0 if node is None else full - node + 1) * batch.n_pos
            reached += change.n_changed * batch.n_pos
            at_last = change.n_changed - change.n_all_positions
            where_read += change.n_all_positions * batch.n_pos + at_last
            changing += change.n_all_positions * per_prompt + at_last
        mask[src, dst] = bool(found.mask[src, dst])
    cost, tokens = found.cost, problem.objective.tokens
    passes = Table("what is left of the work", "count", "of the line above", title=f"forward passes, tau {tau:g}")
    lines = [
        ("naive: one forward per edge", graph.n_edges),
        ("fact 3: edges into dead nodes go free", cost["candidates"]),
        ("fact 6: tried several at a time (propagations)", cost["propagations"]),
    ]
    add_shares(passes, lines)
    passes.add_row("fact 6: copies of the batch propagated, wasted ones included", f"{cost['forward_passes']:,}", "")
    console.print(passes)
    nodes = Table(
        "what is left of the work", "node-positions", "of the line above", title="within the candidates' passes"
    )
    lines = [
        ("naive: every node, every position", whole),
        ("fact 1: from the destination on", downstream),
        ("fact 2: reached through kept edges", reached),
        ("fact 4: read at the last position only: computed there", where_read),
        ("fact 5: from each prompt's first difference on, no padding", round(changing)),
    ]
    add_shares(nodes, lines)
    console.print(nodes)
    vocab, d_model, d_head = len(problem.model.components.unembed), graph.d_model, graph.d_model // graph.n_heads
    logits = vocab if tokens is None else len(tokens)
    console.print(
        f"fact 7: {logits:,} logits a prompt where all positions have {vocab * batch.n_pos:,}\n"
        f"fact 8: {graph.n_layers * (graph.n_heads * d_head + d_model) + d_model:,} numbers a token for all sources "
        f"where residual streams take {graph.n_src * d_model:,}"
    )


def add_shares(table: Table, lines: list[tuple[str, float]]) -> None:
    before = None
    for name, count in lines:
        table.add_row(name, f"{count:,}", "" if not before else f"{count / before:.1%}")
        before = count


def gpt2_shape(seconds: float, taus: list[float]) -> None:
    """GPT-2 small's full shape with random weights, 50 prompts of 16 tokens, float32, KL over 50,257 tokens."""
    torch.manual_seed(0)
    hf = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    model = PatchableModel(hf, None, name="gpt2-shape")
    generator = np.random.default_rng(0)
    sides = [generator.integers(0, 50257, (50, 16)) for _ in range(2)]
    sides[1][:, :2] = sides[0][:, :2]
    rows = [torch.from_numpy(side) for side in sides]
    answers = torch.full((50, 1), 5)
    batch = PromptBatch(*rows, torch.ones(50, 16, dtype=torch.bool), answers, answers[:, :0], "random")
    title = "GPT-2 small's shape, n=50, 16 tokens, float32, KL"
    table = Table(
        "tau",
        "candidates decided",
        "edges decided",
        "median ms",
        "mean",
        "90%",
        "HF forward ms",
        "peak GB",
        title=title,
    )
    for tau in taus:
        problem = Problem.make(model, batch)
        watch = Stopwatch(seconds)
        with contextlib.suppress(TimeoutError):
            acdc(problem, tau=tau, progress=watch)
        each = np.array(watch.each) * 1000
        forward = statistics.median(timed(lambda: model.reference_logits(batch))[0] for _ in range(3))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        table.add_row(
            f"{tau:g}",
            f"{len(each):,}",
            f"{watch.reached.done:,} of {watch.reached.total:,}",
            *(f"{value:.1f}" for value in (np.median(each), each.mean(), np.quantile(each, 0.9))),
            f"{1000 * forward:.0f}",
            f"{peak:.2f}",
        )
    console.print(table)
    console.print("HF forward: the unmodified Hugging Face model, all logits, timed after each search")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["ioi", "gpt2"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120, help="for each tau at GPT-2 small's shape")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if options.only != "gpt2":
        bundled_ioi(options.repeats, [0.01, 0.003])
    if options.only != "ioi":
        gpt2_shape(options.seconds, [1e-6, 1e-5, 1e-4])


if __name__ == "__main__":
    main()
