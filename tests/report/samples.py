"""Made-up findings: a circuit of random scores, and an explanation that has something of everything."""

from base64 import b64encode
from typing import Any

import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.interpret.explanation import (
    Agreement,
    Claim,
    Estimate,
    Explanation,
    Lens,
    NodeCard,
    PatchingMap,
    Pattern,
    ProbeTable,
    PromptCard,
    Steering,
)
from acdc.report import Findings

HOSTILE = (  # what tokens may hold
    "</script><script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked=2">',
    " مرحبا",
    "\u202eright to left\u2028\u2029",
    "a\x00b\x1b[31m",
    "\ud800",
    "&lt;b&gt; {{ 7*7 }} ${7*7}",
    "-->]]><!--",
)
ROLES = ("induction", "previous token", "name mover", "S-inhibition")


def random_circuit(n_layers: int = 4, n_heads: int = 4, n_edges: int = 60, seed: int = 0) -> Circuit:
    """The strongest edges of random scores, without loose ends."""
    graph = Graph(n_layers=n_layers, n_heads=n_heads, d_model=8 * n_heads)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64) ** 3
    scores[~graph.edges_mask] = torch.nan
    order = scores.abs().nan_to_num(-1.0).flatten().argsort(descending=True)[:n_edges]
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    mask[order] = True
    about = {"task": "made-up", "model": "random", "method": "none"}
    return Circuit(graph, graph.prune(mask.view(graph.n_src, graph.n_dst)), scores, about, "effect")


def split_circuit(seed: int = 0) -> Circuit:
    """The strongest edges of random scores where edges are split by span."""
    graph = Graph(n_layers=4, n_heads=4, d_model=32).split(("IO", "S2", "end"))
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64) ** 3
    scores[~graph.edges_mask] = torch.nan
    order = scores.abs().nan_to_num(-1.0).flatten().argsort(descending=True)[:250]
    mask = torch.zeros(graph.n_src * graph.n_dst, dtype=torch.bool)
    mask[order] = True
    return Circuit(graph, graph.prune(mask.view(graph.n_src, graph.n_dst)), scores, score_kind="effect")


def curve_of(circuit: Circuit) -> dict[str, Any]:
    """A run's record with a curve; of its sizes only the circuit's own is surely that of the circuit's strongest edges,
    since random scores leave others with loose ends."""
    sizes = ((0, 0.0), (5, 0.25), (circuit.n_edges, 0.9))
    arguments = {"task": "made-up", "model": "random", "method": "eap", "metric": "kl", "ablation": "corrupt"}
    arguments |= {"direction": "noising", "n": 3, "seed": 0, "dtype": "float32", "device": "cpu"}
    return {
        "arguments": {**arguments, "task_options": {}, "options": {"n_edges": circuit.n_edges}},
        "evidence": {"curve": [{"n_edges": n, "faithfulness": f} for n, f in sizes]},
        "seconds": {"total": 1.0, "search": 0.5},
        "prompts_sha256": "0" * 64,
    }


def pattern(tokens: list[str], prompt: int = 0) -> Pattern:
    """Attention to the token before, and half as much to the first."""
    n = len(tokens)
    weights = [[255 * (j == max(0, i - 1)) or 128 * (j == 0 and i > 1) for j in range(n)] for i in range(n)]
    packed = b64encode(bytes(min(255, w) for row in weights for w in row)).decode()
    return Pattern(prompt=prompt, tokens=tokens, weights=packed, value_weighted=packed)


def explanation_of(circuit: Circuit, tokens: tuple[str, ...] = HOSTILE) -> Explanation:
    """Something of everything, every text of it one of `tokens` where a token stands."""
    some = list(tokens)
    shares = [(text, 1.0 / (i + 2)) for i, text in enumerate(some)]
    heads = [name for name in circuit.nodes if name.startswith("a")]
    grid = [[0.1 * (r - c) for c in range(len(some))] for r in range(4)]
    rows = [f"layer {i}" for i in range(4)]
    return Explanation(
        made_with="test",
        circuit="0" * 64,
        command="acdc explain outputs/made-up",
        question="Which heads move the name?",
        answer="Three heads do, and they hold under intervention.",
        certain=["What was measured holds."],
        uncertain=[f"Whether {some[0]} matters."],
        nodes=[card_of(name, i, some, shares) for i, name in enumerate(heads)],
        prompts=[prompt_of(some, shares, held_out) for held_out in (True, False)],
        maps=[map_of(rows, some, grid, "denoising"), map_of(rows, some, grid, "noising")],
        lenses=[lens_of(rows, some, shares)],
        agreement=Agreement(
            columns=["exact", "DLA"],
            nodes=heads,
            values=[[0.1 * i, None if i == 0 else -0.2 * i] for i in range(len(heads))],
            correlations=[[1.0, -0.5], [-0.5, 1.0]],
            verdicts=["both"] * len(heads),
        ),
        probes=[
            ProbeTable(
                label="the name",
                rows=rows,
                columns=some,
                accuracy=[[0.5 + 0.1 * r for _ in some] for r in range(4)],
                control=[[0.25 for _ in some] for _ in range(4)],
                majority=0.25,
                n_train=80,
                n_test=20,
                causal=grid,
            )
        ],
        steering=[
            Steering(
                direction="mean difference of the name",
                site="resid_post, layer 2",
                strengths=[-1.0, 0.0, 1.0, None],
                metric=[Estimate(value=v, low=v - 0.1, high=v + 0.1) for v in (-1.0, 0.5, 2.0, 0.1)],
                neutral_kl=[0.1, 0.0, 0.2, 0.05],
            )
        ],
        notes=["The tuned lens was not trained."],
        seconds={"patterns": 1.5, "maps": 2.0},
    )


def card_of(name: str, i: int, tokens: list[str], shares: list[tuple[str, float]]) -> NodeCard:
    role, holds = ROLES[i % len(ROLES)], (True, False, None)[i % 3]
    claim = Claim(role=role, score=0.8, cut=0.4, held_out=0.7, test="its attention was set to zero", holds=holds)
    return NodeCard(
        name=name,
        kind="head",
        layer=int(name[1:].split(".")[0]),
        sentence=f"{name} reads {tokens[0]} and writes it on.",
        claims=[claim] if i % 5 != 4 else [],
        role_scores={role: 0.8, "syntax": None},
        effect=Estimate(value=0.3, low=0.2, high=0.4),
        direct=Estimate(value=-0.1),
        attends=shares[:3],
        writes_up=shares,
        writes_down=shares[:2],
        reads=shares[:2],
        spans={"IO": Estimate(value=0.5, low=0.4, high=0.6), "S2": Estimate(value=-0.1)},
        patterns=[pattern(tokens), pattern(tokens[:4], prompt=1)],
    )


def prompt_of(tokens: list[str], shares: list[tuple[str, float]], held_out: bool) -> PromptCard:
    other = ["Other", *tokens[1:]]
    return PromptCard(
        clean=tokens,
        corrupt=other,
        spans={"IO": [1], "S2": [3, 4]},
        correct=tokens[:1],
        wrong=tokens[1:2],
        held_out=held_out,
        model=shares[:5],
        circuit=shares[:5],
        corrupted=shares[2:7],
    )


def map_of(rows: list[str], columns: list[str], grid: list[list[float]], direction: str) -> PatchingMap:
    return PatchingMap(
        direction=direction,
        site="resid_pre",
        metric="logit_diff",
        rows=rows,
        columns=columns,
        values=grid,
        clean=3.0,
        corrupt=-1.0,
        n_prompts=20,
        trivial=[(0, 0)],
    )


def lens_of(rows: list[str], columns: list[str], shares: list[tuple[str, float]]) -> Lens:
    return Lens(
        kind="logit lens",
        prompt=0,
        rows=rows,
        columns=columns,
        top=[[shares[c:] for c in range(len(columns))] for _ in rows],
        rank=[[float(r + c + 1) for c in range(len(columns))] for r in range(len(rows))],
        probability=[[0.1 * r for _ in columns] for r in range(len(rows))],
        kl=[[2.0 - 0.5 * r for _ in columns] for r in range(len(rows))],
        entropy=[[1.0 for _ in columns] for _ in rows],
    )


def findings(**parts: Any) -> Findings:
    """A circuit with an explanation, unless another is given."""
    circuit = parts.pop("circuit", random_circuit())
    return Findings(circuit, **({"explanation": explanation_of(circuit)} | parts))
