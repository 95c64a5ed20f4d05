"""The scorers: each gives every edge of a `Problem` a number."""

from acdc.discovery.attribution.controls import random_scores
from acdc.discovery.attribution.eap import eap
from acdc.discovery.attribution.eap_ig import eap_ig_inputs
from acdc.discovery.attribution.eap_ig_activations import eap_ig_activations
from acdc.discovery.attribution.ensemble import Scorer, degree_matched_of, ensemble_of
from acdc.discovery.attribution.exact import exact
from acdc.discovery.attribution.hisp import hisp
from acdc.discovery.attribution.ifr import ifr
from acdc.discovery.attribution.nap import nap, nap_ig
from acdc.errors import unknown_name

__all__ = ["SCORERS", "get_scorer"]

_ALONE: dict[str, Scorer] = {
    "exact": exact,
    "eap": eap,
    "eap-ig-inputs": eap_ig_inputs,
    "eap-ig-activations": eap_ig_activations,
    "hisp": hisp,
    "nap": nap,
    "nap-ig": nap_ig,
    "ifr": ifr,
    "random": random_scores,
}
SCORERS: dict[str, Scorer] = _ALONE | {"ensemble": ensemble_of(_ALONE), "degree-matched": degree_matched_of(_ALONE)}


def get_scorer(name: str) -> Scorer:
    """The scorer of this name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in SCORERS:
        raise unknown_name("scorer", name, SCORERS)
    return SCORERS[name]
