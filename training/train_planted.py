"""Train small models whose circuit is known because it was planted: strict interchange training, edge by edge.

A plan (`plans.py`) says which edges carry which variable of an algorithm. In every step each prompt (the base) gets
another prompt (the source) and a random set of removed edges, which read the source's activations. The model must then
answer what the algorithm answers when the variables of the removed true edges are the source's:

    loss = E CE(model(base; removed edges read source), algorithm(base; removed true edges read source))

With no true edge among the removed ones this says that nothing else may matter (the strict loss of SIIT); with no edge
removed at all it is the task; with true edges removed it says what each of them carries (the interchange loss). SIIT
(Gupta et al. 2024, InterpBench, arXiv 2407.14494) does so with nodes; edges are a finer truth.

    python training/train_planted.py recall --out acdc/zoo/recall-planted

takes a few minutes on two cores.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
from interchange import Run
from plans import PLANS, Plan
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from true_spans import save_truth
from word_tokenizer import build_tokenizer, save_tokenizer

from acdc import Circuit, Graph, PatchableModel
from acdc.metrics import accuracy
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem

BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 128, 3e-3, 100, 0.1
N_POSITIONS, N_TEST = 16, 200


def new_model(plan: Plan, n_vocab: int) -> GPT2LMHeadModel:
    """An untrained model."""
    config = GPT2Config(
        vocab_size=n_vocab,
        n_positions=N_POSITIONS,
        n_embd=plan.d_model,
        n_layer=plan.n_layers,
        n_head=plan.n_heads,
        activation_function="gelu_pytorch_tanh",  # GPT-2's, in one kernel
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.1,
    )
    return GPT2LMHeadModel(config)


def draw_masks(graph: Graph, true: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Edges to keep in each of n prompts, `[n src dst]`, and the true edges among the removed ones, `[n edges]`.

    Half of the prompts keep all true edges, most others lose one, the rest lose each with even odds. Of the other edges
    each prompt keeps a share of its own: all in a quarter of the prompts, none in another quarter.
    """
    share = (2 * torch.rand(n, 1, 1) - 0.5).clamp(0, 1)
    keep = torch.rand(n, graph.n_src, graph.n_dst) < share
    kind = torch.rand(n, 1)
    one = torch.nn.functional.one_hot(torch.randint(len(true), (n,)), len(true)).bool()
    some = torch.rand(n, len(true)) < 0.5
    removed = torch.where(kind < 0.5, torch.zeros_like(one), torch.where(kind < 0.85, one, some))
    keep[:, true[:, 0], true[:, 1]] = ~removed
    return keep, removed


def train(plan: Plan, words: dict[str, int], steps: int, seed: int) -> GPT2LMHeadModel:
    """Train from scratch."""
    torch.manual_seed(seed)
    rng, start = random.Random(seed), time.monotonic()
    model, graph = new_model(plan, max(words.values()) + 1), plan.graph
    true = torch.tensor([graph.parse_edge(edge) for edge in plan.edges])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    for step in range(steps):
        draw = plan.draw(words, rng, BATCH)
        keep, removed = draw_masks(graph, true, BATCH)
        target = plan.answer(draw, removed)
        with torch.no_grad():
            other = Run(model, draw.source)
        logits = Run(model, draw.base, keep, other).logits
        each = torch.nn.functional.cross_entropy(logits, target, ignore_index=-1, reduction="none")
        optimizer.zero_grad()
        (each.sum() / (target >= 0).sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == steps - 1:
            kinds = {"strict": ~removed.any(1), "interchange": removed.any(1) & (target >= 0)}
            told = ", ".join(f"{name} {each[rows].mean().item():.4f}" for name, rows in kinds.items())
            print(f"step {step}: {told}, {time.monotonic() - start:.0f} s", flush=True)
    return model.eval()


def rate(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to nothing."""
    return min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def measure(model: PatchableModel, plan: Plan, seed: int = 1) -> tuple[Circuit, dict[str, float]]:
    """The planted circuit with the exact effect of removing each edge alone from the model, and what sums it up."""
    graph, problem = model.graph, Problem.make(model, plan.task().batch(model.tokenizer, N_TEST, seed))
    rows = [(src, dst) for src, dst in graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    scores = torch.full(graph.edges_mask.shape, math.nan, dtype=torch.float64)
    scores[graph.edges_mask] = state.losses(rows) - state.loss
    mask = graph.mask_of(plan.edges)
    right = accuracy(problem.clean.logits, problem.batch.correct, problem.batch.wrong)
    told = {
        "accuracy": float(right.double().mean()),
        "mean probability of the answer": float(
            problem.clean.logits.softmax(-1).gather(1, problem.batch.correct).double().mean()
        ),
        "KL of the planted circuit alone from the model": float(problem.objective.loss(problem.logits(mask))),
        "least effect of a planted edge": float(scores[mask].min()),
        "largest effect of another edge": float(scores[graph.edges_mask & ~mask].abs().max()),
    }
    provenance = {"task": plan.task.name, "model": plan.name, "method": "training", "granularity": "edge"}
    return Circuit(graph, mask, scores, provenance), told


CARD = """---
license: mit
summary: trained with a planted circuit, which is circuit.json; task {task}, {n_layers} layers, {n_heads} heads
---

# {name}

A GPT-2-architecture model of {n_layers} layers with {n_heads} heads and width {d_model}, trained so that a circuit
which was chosen beforehand does the task `{task}`: {story}.

`circuit.json` holds the planted circuit: {edges}.
`circuit-by-span.json` holds the same edges, each at the spans of the task where it acts.

## How it was made

`python training/train_planted.py {task} --out acdc/zoo/{name}`: {steps} steps of {batch} prompts, seed {seed}. In
every step each prompt got another prompt and a random set of removed edges, which read the other prompt's
activations; the loss asks for what the planted algorithm answers then: the same as before if no planted edge is among
them, and what follows from the other prompt's variable if some are. This is strict interchange intervention training
(Gupta et al. 2024) at the granularity of single edges, the q, k and v inputs of a head told apart.

## How true it is

An edge that is not planted was trained not to matter, alone or with others, where removed edges carry the corrupted
prompt's activations. It matters a little all the same. On {n_test} prompts of the task, in nats of KL:

{table}

`circuit.json` holds the effect of every edge, removed alone from the whole model, as its score. Positions are the
same in both prompts, so no planted edge carries them, and under zero ablation another circuit would be found.
"""


def save(plan: Plan, model: GPT2LMHeadModel, out: Path, steps: int, seed: int) -> dict[str, float]:
    """Write an ordinary Hugging Face folder, its planted circuit and its card."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    save_tokenizer(build_tokenizer(plan.words), out, n_positions=N_POSITIONS)
    circuit, told = measure(PatchableModel.from_pretrained(out), plan)
    save_truth(circuit, plan.at, out)
    rows = "\n".join(f"| {what} | {value:.3g} |" for what, value in told.items())
    card = CARD.format(
        name=plan.name,
        task=plan.task.name,
        n_layers=plan.n_layers,
        n_heads=plan.n_heads,
        d_model=plan.d_model,
        story=plan.story,
        edges=", ".join(f"`{edge}`" for edge in plan.edges),
        steps=steps,
        batch=BATCH,
        seed=seed,
        n_test=N_TEST,
        table=f"| measure | value |\n|---|---|\n{rows}",
    )
    (out / "README.md").write_text(card)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--out", type=Path, help="default: its folder in acdc/zoo")
    parser.add_argument("--steps", type=int, help="default: the plan's own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plan = PLANS[options.plan]
    tokenizer, steps = build_tokenizer(plan.words), options.steps or plan.steps
    model = train(plan, {word: tokenizer.token_to_id(word) for word in plan.words}, steps, options.seed)
    told = save(plan, model, options.out or Path("acdc/zoo") / plan.name, steps, options.seed)
    for what, value in told.items():
        print(f"{what}: {value:.4g}")


if __name__ == "__main__":
    main()
