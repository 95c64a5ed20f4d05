"""What everything costs on a real language model, beside what a plain forward pass of it takes: a Markdown table.

    python benchmarks/real_model.py                           # SmolLM2-135M, 20 prompts of IOI: an hour or so
    python benchmarks/real_model.py --quick                   # 4 prompts, everything cut short: minutes
    python benchmarks/real_model.py --only masked --only acdc # some groups of rows
    python benchmarks/real_model.py --model acdc-small --n 50 --only masked
    python benchmarks/real_model.py --only masked --positions spans        # edges split by the spans of IOI
    python benchmarks/real_model.py --device cuda             # on a GPU: by the wall clock, added GB is the GPU's
    python benchmarks/real_model.py --device cuda --dtype bfloat16 --shape llama-3-8b --only masked --only methods

Each row is measured between plain forward passes of the unmodified model (logits at the last position), and its ratio
is to those. Rows that a limit (`--seconds`) stops say `more than`. `added GB` is what the row's first call adds to the
process's memory at its peak.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from timing import CLOCKS, Stopwatch, added_memory, backward_call, beside, forward_call, resident, timed
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig

from acdc import PatchableModel, discover
from acdc.discovery import METHODS, SCORERS, default_metric
from acdc.discovery.acdc import acdc
from acdc.discovery.attribution.eap import eap
from acdc.discovery.hap import hap
from acdc.discovery.selection.select import select
from acdc.errors import ACDCError
from acdc.evaluation import PARTS
from acdc.evaluation.work import Settings
from acdc.patching.problem import Problem
from acdc.patching.weighted import weighted_logits
from acdc.progress import Progress
from acdc.prompts.positions import POSITIONS, split_by
from acdc.runs.evaluation_forecast import forecasts, measured_speed
from acdc.runs.evaluation_setup import shared_work
from acdc.runs.reload import reload
from acdc.task import load_task

QUICK = {"n": 4, "repeats": 1, "seconds": 10.0}
USUAL = {"n": 20, "repeats": 3, "seconds": 120.0}
SHAPES: dict[str, PretrainedConfig] = {
    "llama-3-8b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
        rms_norm_eps=1e-5,
    )
}
SIZE = 500  # edges of the circuit that is evaluated
Tell = Callable[[Progress], None]


class Bench:
    """One model and task, and how it is measured."""

    def __init__(self, model: PatchableModel, task: str, options: argparse.Namespace) -> None:
        self.model, self.task, self.options = model, task, options
        self.problem = self.problem_of("acdc")
        self.clock = CLOCKS[options.clock]
        self.forward = forward_call(self.problem)

    def problem_of(self, method: str) -> Problem:
        """In the metric that the method takes where none is named."""
        task = load_task(self.task)
        batch = split_by(task.batch(self.model.tokenizer, self.options.n, 0), self.options.positions)
        return Problem.make(self.model, batch, metric=default_metric(task, METHODS[method]))

    def row(self, name: str, call: Callable[[], object], repeats: int | None = None) -> "Row":
        """A call's row; its first time isn't counted, but tells the memory, unless there is only one."""
        if repeats == 1:
            return self._once(name, call)
        memory = added_memory(call)
        return Row(name, *beside(call, self.forward, repeats=self.options.repeats, clock=self.clock), memory)

    def _once(self, name: str, call: Callable[[], object]) -> "Row":
        own: list[float] = []
        before = timed(self.forward, self.clock)
        memory = added_memory(lambda: own.append(timed(call, self.clock)))
        forward = (before + timed(self.forward, self.clock)) / 2
        return Row(name, own[0], forward, own[0] / forward, memory)

    def limited(self, name: str, call: Callable[[Tell], object]) -> "Row":
        """A row of one call that is told to stop after `--seconds`."""
        stopped: list[bool] = []

        def run() -> None:
            try:
                call(Stopwatch(self.options.seconds, self.clock))
            except TimeoutError:
                stopped.append(True)

        row = self.row(name, run, repeats=1)
        return Row(**{**vars(row), "stopped": bool(stopped)})


@dataclass(frozen=True)
class Row:
    """A line of the table; times in seconds, memory in GB."""

    name: str
    seconds: float
    forward: float
    ratio: float
    memory: float = float("nan")
    stopped: bool = False

    def __str__(self) -> str:
        more = "more than " if self.stopped else ""
        memory = "" if self.memory != self.memory else f"{self.memory:.2f}"
        cells = [self.name, more + short(self.seconds), short(self.forward), more + short(self.ratio), memory]
        return f"| {' | '.join(cells)} |"


def short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plain(bench: Bench) -> Iterator[Row]:
    yield bench.row("plain forward", bench.forward)
    yield bench.row("plain forward and backward", backward_call(bench.problem))


def masked(bench: Bench) -> Iterator[Row]:
    """Random circuits, the best edges by EAP, and a step of a learned mask."""
    problem, graph = bench.problem, bench.problem.graph
    draw = torch.rand(graph.n_src, graph.n_dst, generator=torch.Generator().manual_seed(0))
    for name, share in {"2%": 0.02, "10%": 0.1, "half": 0.5, "all": 1.0}.items():
        mask = graph.edges_mask & (draw <= share)
        yield bench.row(f"masked forward, {name} of the edges", lambda mask=mask: problem.logits(mask))
    scored = bench.problem_of("eap")
    scores = eap(scored)
    for size in sorted({min(SIZE, graph.n_edges // 4), graph.n_edges // 50, graph.n_edges // 10}):
        best = select(scored, scores, n_edges=size).mask
        yield bench.row(f"masked forward, EAP's best {size:,} edges", lambda mask=best: problem.logits(mask))

    def step() -> None:
        weights = draw.to(problem.model.device, copy=True).requires_grad_()
        weighted_logits(problem.masked, weights).gather(1, problem.batch.correct[:, :1]).mean().backward()

    yield bench.row("a step of a learned mask, forward and backward", step)


def scorers(bench: Bench) -> Iterator[Row]:
    """Every scorer with its defaults, in the metric that it takes; one that goes edge by edge, for an edge."""
    for name, score in SCORERS.items():
        problem = bench.problem_of(name)
        call = lambda tell, problem=problem, score=score: score(problem, progress=tell)  # noqa: E731
        if name == "exact":
            yield from rates(bench, "exact, a measured edge", call)
        else:
            yield bench.limited(f"scores: {name}", call)


def selection(bench: Bench) -> Iterator[Row]:
    problem = bench.problem_of("eap")
    scores = eap(problem)
    for share in (0.9, 0.98):
        yield bench.limited(
            f"selection, to keep {share} of the metric",
            lambda tell, share=share: select(problem, scores, faithfulness=share, progress=tell),
        )


def methods(bench: Bench) -> Iterator[Row]:
    """Whole searches: what `acdc discover` does besides loading, checking and measuring what was found."""
    problem = bench.problem_of("eap")
    yield bench.limited("eap, and its circuit by default", lambda tell: METHODS["eap"].search(problem, progress=tell))
    least = "5%"
    yield bench.limited(f"hap, tau {least}, to its end", lambda tell: hap(bench.problem, tau=least, progress=tell))


def search(bench: Bench) -> Iterator[Row]:
    yield from rates(
        bench, "ACDC (tau .01), a measured edge", lambda tell: acdc(bench.problem, tau=0.01, progress=tell)
    )


def rates(bench: Bench, name: str, call: Callable[[Tell], object]) -> Iterator[Row]:
    """The time of a measured edge in the first `--seconds`: its median, and where it is slowest."""
    watches: list[Stopwatch] = []

    def run() -> None:
        watches.append(Stopwatch(bench.options.seconds, bench.clock))
        with suppress(TimeoutError):
            call(watches[0])

    whole = bench.row(name, run, repeats=1)
    watch, rest = watches[0], (whole.forward, whole.memory)
    told = f"of {len(watch.each):,} measured; {watch.reached.done:,} of {watch.reached.total:,} decided"
    taken = {f"median {told}": float(np.median(watch.each)), "mean of the slowest tenth": watch.slowest_tenth}
    for what, seconds in taken.items():
        yield Row(f"{name}: {what}", seconds, rest[0], seconds / rest[0], rest[1])


def evaluation(bench: Bench) -> Iterator[Row]:
    """Every part of an evaluation of EAP's circuit in the order of a report, each with what those before it left
    to do; by default those that `acdc evaluate` affords."""
    size = min(SIZE, bench.problem.graph.n_edges // 4)
    prompts = {"n": bench.options.n, "positions": bench.options.positions}
    found = discover(bench.model, bench.task, method="eap", n_edges=size, out=None, **prompts)
    work, _ = shared_work(reload(found, model=bench.model), Settings.check({"thorough": bench.options.thorough}), 0)
    names = [name for name, part in PARTS.items() if part.by_default]
    plan = forecasts(names, work, speed=measured_speed(work), all_of_them=bench.options.thorough)
    for part in plan:
        if part.left_out is None:
            yield bench.row(f"evaluation: {part.name}", lambda name=part.name: PARTS[name].measure(work), repeats=1)
        else:
            print(f"evaluation: {part.name}: left out: {part.left_out}", file=sys.stderr)


def of_shape(name: str, tokenizer_of: str, *, device: str, dtype: str) -> PatchableModel:
    """A model of a known shape with random weights, which cost what real ones cost; with another model's tokenizer."""
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            hf = LlamaForCausalLM(SHAPES[name]).eval()
    finally:
        torch.set_default_dtype(usual)
    return PatchableModel(hf, PatchableModel.from_pretrained(tokenizer_of).tokenizer, name=f"{name}'s shape")


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "plain": plain,
    "masked": masked,
    "scorers": scorers,
    "selection": selection,
    "methods": methods,
    "acdc": search,
    "evaluation": evaluation,
}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--shape", choices=SHAPES, help="random weights in this shape, with `--model`'s tokenizer")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--task", default="ioi")
    parser.add_argument("--positions", choices=POSITIONS, default="all", help="what edges are split by [all: nothing]")
    parser.add_argument("--n", type=int, help="prompts [20; 4 with --quick]")
    parser.add_argument("--repeats", type=int, help="of calls that take no longer than a few plain passes [3; 1]")
    parser.add_argument("--seconds", type=float, help="for a search before it is stopped [120; 10]")
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group of rows; may be repeated")
    parser.add_argument("--skip", action="append", choices=GROUPS, default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--thorough", action="store_true", help="all parts of an evaluation")
    parser.add_argument("--clock", choices=CLOCKS, help="[cpu: that of the process, all threads; wall on a GPU]")
    options = parser.parse_args(words)
    options.clock = options.clock or ("cpu" if options.device == "cpu" else "wall")
    for name, value in (QUICK if options.quick else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        where = {"device": options.device, "dtype": options.dtype}
        if options.shape:
            model = of_shape(options.shape, options.model, **where)
        else:
            model = PatchableModel.from_pretrained(options.model, **where)
    except ACDCError as error:  # the package isn't there: it says how to get it
        print(f"skipped: {error}")
        return
    on_gpu = torch.cuda.is_initialized()
    weights = torch.cuda.memory_allocated() / 1e9 if on_gpu else resident("VmRSS")
    bench = Bench(model, options.task, options)
    batch = f"{options.n} prompts of {options.task}, at most {bench.problem.batch.n_pos} tokens"
    print(f"{model.name}, {bench.problem.graph.n_edges:,} edges, {batch}")
    card = "" if options.device == "cpu" else f"{torch.cuda.get_device_name()}, "
    print(f"{options.dtype}, {card}{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(f"| | {options.clock} s | a plain forward, s | ratio | added GB |\n|---|---|---|---|---|")
    for name, rows in GROUPS.items():
        if name in (options.only or GROUPS) and name not in options.skip:
            for row in rows(bench):
                print(row, flush=True)
    print(f"\nmemory with the model loaded: {weights:.2f} GB")


if __name__ == "__main__":
    main()
