"""How well dictionaries stand for what a model holds at a site: on text, in the site and in what the model then says.

| measure | definition |
|---|---|
| L0 | mean number of features above zero, a token |
| FVU | share of variance unexplained, as sparsify has it: sum of `|y - y'|^2` over sum of `|y - mean of y|^2` |
| FVU without outliers | the same of the tokens whose norm is at most 10 times the median one |
| cosine, norm | mean of the cosine of y and y', and of `|y'| / |y|` (below 1: shrinkage) |
| alive | share of features that are on at some token |
| CE recovered | `(CE_zero - CE_dictionary) / (CE_zero - CE_model)`, CE of the next token |

Other tools' "variance explained" may differ: dictionary_learning takes the error's own mean off it too, so that a
constant error doesn't count. A few tokens of huge norms can hold nearly all variance of the residual stream: FVU is
theirs then, and that of all others stands beside it. CE_zero is that of the site set to zero (zero ablation). Each
text's first token is left as it is in all of these, as it is in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import ModelError
from acdc.features.dictionary import Dictionary
from acdc.features.reconstruction import reconstruction
from acdc.features.site_values import COPIES, behind_first, pieces, site_values
from acdc.features.sites import Site, through_sites, width_of
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fidelity", "measure_fidelity"]

TOKENS, PREDICTED = 2**15, 2**13  # at most, that the site is measured on, and that are predicted
TELLING = 0.01  # nats a token: where zero ablation costs less, a share of it means nothing
LOWEST = -5  # log10 of the density below which all is one bin of the histogram
COPIES_OF_LOGITS = 3
HELD = 2**30  # bytes of what sites hold, that are kept at once


NUMBERS = (
    *("l0", "fvu", "fvu_usual", "cosine", "norm", "alive", "ce_recovered", "ce_model", "ce_zero", "ce_dictionary"),
    *("n_tokens", "n_outliers", "n_predicted"),
)


@dataclass(frozen=True)
class Fidelity:
    """What was measured of one dictionary.

    Attributes:
        fvu_usual: FVU without outliers, of which there are `n_outliers`.
        density: Share of the tokens at which each feature is on.
        ce_model, ce_zero, ce_dictionary: Nats a token of the model as it is, with the site set to zero, and with the
            dictionary's reconstruction in its place.
        n_tokens, n_predicted: That the site was measured on, and that were predicted.
    """

    l0: float
    fvu: float
    fvu_usual: float
    cosine: float
    norm: float
    density: Float[Tensor, " n_features"]
    ce_model: float
    ce_zero: float
    ce_dictionary: float
    n_tokens: int
    n_outliers: int
    n_predicted: int

    @property
    def alive(self) -> float:
        """Share of features that are on at some token."""
        return (self.density > 0).double().mean().item()

    @property
    def ce_recovered(self) -> float | None:
        """None where zero ablation costs the model next to nothing."""
        lost = self.ce_zero - self.ce_model
        return (self.ce_zero - self.ce_dictionary) / lost if lost > TELLING else None

    def as_dict(self) -> dict[str, Any]:
        """All numbers; the densities as a histogram."""
        return {name: getattr(self, name) for name in NUMBERS}

    def frame(self) -> "pd.DataFrame":
        """One row of all numbers but the densities."""
        import pandas as pd

        return pd.DataFrame([self.as_dict()])

    def histogram(self) -> "pd.DataFrame":
        """How many features have a density from `low` to `high`, half a power of ten each; in the first row those that
        are never on."""
        import pandas as pd

        logs = self.density[self.density > 0].log10().clamp(LOWEST, -1e-9)
        counts = torch.histc(logs.double().cpu(), -2 * LOWEST, LOWEST, 0).long().tolist()
        lows = [10 ** (LOWEST + i / 2) for i in range(-2 * LOWEST)]
        rows = [(0.0, 0.0, int((self.density == 0).sum())), *zip(lows, [*lows[1:], 1.0], counts, strict=True)]
        return pd.DataFrame(rows, columns=["low", "high", "n_features"])


@torch.no_grad()
def measure_fidelity(
    model: PatchableModel,
    dictionaries: Sequence[Dictionary],
    texts: PromptBatch,
    *,
    tokens: int = TOKENS,
    predicted: int = PREDICTED,
    progress: Tell | None = None,
) -> tuple[Fidelity, ...]:
    """Measure dictionaries on texts that they weren't trained on, each for itself.

    Args:
        tokens: At most about how many the sites are measured on.
        predicted: At most about how many the model predicts, with each dictionary in its place and without.

    Raises:
        ModelError: A dictionary doesn't fit the model, or writes several sites.
    """
    for each in dictionaries:
        each.check_fits(model)
        if len(each.writes) != 1:
            raise ModelError(f"dictionary {each.name!r} can't be measured: it writes {len(each.writes)} sites, not one")
    place = model.device, torch.promote_types(model.dtype, torch.float32)  # of what sites hold
    dictionaries = [each.to(*place) for each in dictionaries]
    held, asked = _first(texts, tokens), _first(texts, predicted)
    groups = _groups(model, dictionaries, int(behind_first(held).sum()))
    written = list(dict.fromkeys(each.writes[0] for each in dictionaries))
    tell = _Share(progress, held.n * len(groups) + asked.n * (1 + len(written) + len(dictionaries)))
    at_site: list[dict[str, Any]] = []
    for group in groups:
        sites = tuple({site for each in group for site in (each.reads, each.writes[0])})
        values = dict(zip(sites, site_values(model, held, sites, progress=tell.of_part), strict=True))
        at_site += [reconstruction(each, values[each.reads], values[each.writes[0]]) for each in group]
        tell.add(held.n)
    whole, n = _cross_entropy(model, asked, None, None, tell)
    zero = {site: _cross_entropy(model, asked, site, None, tell)[0] for site in written}
    found = []
    for each, measured in zip(dictionaries, at_site, strict=True):
        ce, _ = _cross_entropy(model, asked, each.writes[0], each, tell)
        of_model = {"ce_model": whole, "ce_zero": zero[each.writes[0]], "n_predicted": n}
        found.append(Fidelity(**measured | of_model, ce_dictionary=ce))
    return tuple(found)


class _Share:
    """Tells how much of the texts' runs is done."""

    def __init__(self, tell: Tell | None, total: int) -> None:
        self.tell, self.total, self.done = tell, total, 0

    def of_part(self, part: Progress) -> None:
        """A part that counts texts itself is so far."""
        if self.tell is not None:
            self.tell(Progress(self.done + part.done, self.total, stage="fidelity on text held out", unit="texts"))

    def add(self, n: int) -> None:
        """So many texts more were run."""
        self.done += n
        self.of_part(Progress(0, 0))


def _groups(model: PatchableModel, dictionaries: Sequence[Dictionary], n: int) -> list[list[Dictionary]]:
    """The dictionaries in their order, as many together as there is room for what their sites hold at n tokens."""
    groups: list[list[Dictionary]] = [[]]
    sites = set[Site]()
    for each in dictionaries:
        own = {each.reads, each.writes[0]}
        if sites and 4 * n * sum(width_of(model, site) for site in sites | own) > HELD:
            groups.append([])
            sites = set()
        groups[-1].append(each)
        sites |= own
    return groups


def _first(texts: PromptBatch, tokens: int) -> PromptBatch:
    """The first texts, of about so many tokens."""
    before = behind_first(texts).sum(1).cumsum(0).roll(1)
    before[0] = 0
    return texts.select((before < tokens).nonzero()[:, 0])


def _cross_entropy(
    model: PatchableModel, texts: PromptBatch, site: Site | None, dictionary: Dictionary | None, tell: _Share
) -> tuple[float, int]:
    """Mean over the tokens behind each text's first one of the next token's negative log probability, and how many
    there are; with a site replaced by zero, or by what a dictionary makes of what it reads."""
    lost, n = 0.0, 0
    copies = COPIES + COPIES_OF_LOGITS * len(model.components.unembed) // model.graph.d_model
    for part in pieces(model, texts, copies):
        where, seen = behind_first(part), dict[Site, Tensor]()

        def visit(at: Site, x: Tensor, where: Tensor = where, seen: dict[Site, Tensor] = seen) -> Tensor:
            if dictionary is not None and at == dictionary.reads:
                seen[at] = x[where]
            if at != site:
                return x
            x = x.clone()
            x[where] = 0 if dictionary is None else _made(dictionary, seen[dictionary.reads]).to(x)
            return x

        final = through_sites(model, part, part.clean, visit)
        asked = where[:, :-1] & where[:, 1:]
        said = wide(model.unembed(final[:, :-1][asked])).log_softmax(-1)
        lost -= said.gather(1, part.clean[:, 1:][asked][:, None]).sum().item()
        n += int(asked.sum())
        tell.add(part.n)
    return (lost / n if n else float("nan")), n


def _made(dictionary: Dictionary, x: Tensor) -> Tensor:
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return dictionary.decode(dictionary.encode(x), x)
