"""How well dictionaries stand for what a model holds at a site: on text, in the site and in what the model then says.

| measure | definition |
|---|---|
| L0 | mean number of features above zero, a token |
| FVU | share of variance unexplained, as sparsify has it: sum of `|y - y'|^2` over sum of `|y - mean of y|^2` |
| cosine, norm | mean of the cosine of y and y', and of `|y'| / |y|` (below 1: shrinkage) |
| alive | share of features that are on at some token |
| CE recovered | `(CE_zero - CE_dictionary) / (CE_zero - CE_model)`, CE of the next token |

Other tools' "variance explained" may differ: dictionary_learning takes the error's own mean off it too, so that a
constant error doesn't count. CE_zero is that of the site set to zero (zero ablation). Each text's first token is left
as it is in all of these, as it is in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import ModelError
from acdc.features.dictionary import Dictionary
from acdc.features.site_values import COPIES, behind_first, pieces, site_values
from acdc.features.sites import Site, through_sites
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fidelity", "measure_fidelity"]

TOKENS, PREDICTED = 2**15, 2**13  # at most, that the site is measured on, and that are predicted
ROWS = 1024  # tokens that are encoded at a time
TELLING = 0.01  # nats a token: where zero ablation costs less, a share of it means nothing
LOWEST = -5  # log10 of the density below which all is one bin of the histogram
COPIES_OF_LOGITS = 3


@dataclass(frozen=True)
class Fidelity:
    """What was measured of one dictionary.

    Attributes:
        density: Share of the tokens at which each feature is on.
        ce_model, ce_zero, ce_dictionary: Nats a token of the model as it is, with the site set to zero, and with the
            dictionary's reconstruction in its place.
        n_tokens, n_predicted: That the site was measured on, and that were predicted.
    """

    l0: float
    fvu: float
    cosine: float
    norm: float
    density: Float[Tensor, " n_features"]
    ce_model: float
    ce_zero: float
    ce_dictionary: float
    n_tokens: int
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
        names = ("l0", "fvu", "cosine", "norm", "alive", "ce_recovered", "ce_model", "ce_zero", "ce_dictionary")
        return {name: getattr(self, name) for name in (*names, "n_tokens", "n_predicted")}

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
) -> tuple[Fidelity, ...]:
    """Measure dictionaries of one site on texts that they weren't trained on.

    Args:
        tokens: At most about how many the site is measured on.
        predicted: At most about how many the model predicts, with each dictionary in its place and without.

    Raises:
        ModelError: A dictionary doesn't fit the model, writes several sites, or has others than the first one.
    """
    reads, writes = _sites(model, dictionaries)
    values = site_values(model, _first(texts, tokens), (reads,) if reads == writes else (reads, writes))
    x, y = values[0], values[-1]
    asked = _first(texts, predicted)
    whole, n = _cross_entropy(model, asked, None, None)
    zero, _ = _cross_entropy(model, asked, writes, None)
    found = []
    for dictionary in dictionaries:
        at_site, (ce, _) = _at_site(dictionary, x, y), _cross_entropy(model, asked, writes, dictionary)
        found.append(Fidelity(**at_site, ce_model=whole, ce_zero=zero, ce_dictionary=ce, n_predicted=n))
    return tuple(found)


def _sites(model: PatchableModel, dictionaries: Sequence[Dictionary]) -> tuple[Site, Site]:
    reads, written = dictionaries[0].reads, dictionaries[0].writes
    for each in dictionaries:
        each.check_fits(model)
        if (each.reads, each.writes) != (reads, written) or len(written) != 1:
            raise ModelError(
                f"dictionary {each.name!r} can't be measured here: it must write one site, the same as those beside it"
            )
    return reads, written[0]


def _first(texts: PromptBatch, tokens: int) -> PromptBatch:
    """The first texts, of about so many tokens."""
    before = behind_first(texts).sum(1).cumsum(0).roll(1)
    before[0] = 0
    return texts.select((before < tokens).nonzero()[:, 0])


def _at_site(
    dictionary: Dictionary, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
) -> dict[str, Any]:
    mean, error, cosine, norm = y.double().mean(0), 0.0, 0.0, 0.0
    on = torch.zeros(dictionary.n_features, dtype=torch.long, device=x.device)
    for here, there in zip(x.split(ROWS), y.split(ROWS), strict=True):
        features = dictionary.encode(here)
        made, there = dictionary.decode(features, here).double(), there.double()
        error += (there - made).square().sum().item()
        cosine += torch.cosine_similarity(made, there, dim=1).sum().item()
        norm += (made.norm(dim=1) / there.norm(dim=1).clamp_min(1e-12)).sum().item()
        on += (features > 0).sum(0)
    n = len(x)
    variance = (y.double() - mean).square().sum().item()
    return {
        "l0": on.sum().item() / n,
        "fvu": error / variance if variance else float("nan"),
        "cosine": cosine / n,
        "norm": norm / n,
        "density": (on.double() / n).cpu(),
        "n_tokens": n,
    }


def _cross_entropy(
    model: PatchableModel, texts: PromptBatch, site: Site | None, dictionary: Dictionary | None
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
    return (lost / n if n else float("nan")), n


def _made(dictionary: Dictionary, x: Tensor) -> Tensor:
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return dictionary.decode(dictionary.encode(x), x)
