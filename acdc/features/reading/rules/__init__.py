"""Explicit rules of when a feature fires, and the search for the simplest one that fits.

    recall = share of the feature's tokens that the rule says,  precision = share of the rule's tokens that are its own

Recall is counted on random tokens on which the feature fires; precision follows from it and from how often the rule
says yes in the whole text: precision = recall x (times that it fires) / (times that the rule says yes). The simplest
rule is given whose F1 is within .05 of the best one's, if that is .5 at least, and .05 above what saying yes to every
token has. Rules see tokens up to the one that they are asked about, and where it stands; what else makes a feature fire
they can't say.

A kind of rule is a file of `kinds`; a condition that narrows a rule is one of `narrowing`.
"""

from acdc.features.reading.rules.finding import LEAST_F1, find_rule, fit_of
from acdc.features.reading.rules.rule import Fit, Rule
from acdc.features.reading.rules.seen import Seen
from acdc.features.reading.rules.vocabulary import Vocabulary

__all__ = ["LEAST_F1", "Fit", "Rule", "Seen", "Vocabulary", "find_rule", "fit_of"]
