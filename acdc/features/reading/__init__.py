"""Reading features: when they fire, what they write, and rules of when they fire that are tested."""

from acdc.features.reading.card import FeatureCard, card_of
from acdc.features.reading.corpus import windows_of
from acdc.features.reading.firing import Firing, features_on
from acdc.features.reading.found_rule import FoundRule, rule_of
from acdc.features.reading.judging import LabelTest
from acdc.features.reading.questions import judged
from acdc.features.reading.read import read_features
from acdc.features.reading.record import FeatureReading
from acdc.features.reading.saved import load_reading, save_reading
from acdc.features.reading.windows import Window

__all__ = [
    "FeatureCard",
    "FeatureReading",
    "Firing",
    "FoundRule",
    "LabelTest",
    "Window",
    "card_of",
    "features_on",
    "judged",
    "load_reading",
    "read_features",
    "rule_of",
    "save_reading",
    "windows_of",
]
