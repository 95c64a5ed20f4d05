"""Cards of features as one HTML file that needs nothing else: the same style as a run's page, without script."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from acdc.features.reading import FeatureCard, FeatureReading
from acdc.features.reading.judging import Accuracy, LabelTest
from acdc.files import write_atomically
from acdc.report.assets import assets
from acdc.report.histogram import HEIGHT, WIDTH, bars
from acdc.report.page import environment
from acdc.report.text import number, share, token
from acdc.report.words import words
from acdc.version import __version__

__all__ = ["accuracy", "detection", "feature_page", "verdict_of", "write_feature_page"]

SHOWN, SHOWN_OF_PART = 8, 3  # windows that are seen at once: the strongest, and of each group by strength


def write_feature_page(path: str | Path, reading: FeatureReading, cards: Sequence[FeatureCard]) -> Path:
    """Write the cards; an interrupted write leaves the old file whole.

    Raises:
        FileError: The file can't be written.
    """
    return write_atomically(path, feature_page(reading, cards).encode())


def feature_page(reading: FeatureReading, cards: Sequence[FeatureCard]) -> str:
    """The page as HTML; everything that comes from a text or a name is escaped."""
    named = ", ".join(str(card.index) for card in cards[:5]) + (", …" if len(cards) > 5 else "")
    return (
        environment()
        .get_template("features.html")
        .render(
            title=f"feature{'s' if len(cards) > 1 else ''} {named} of {reading.about.dictionary}",
            about=reading.about,
            n_features=reading.n_features,
            cards=cards,
            linked={card.index for card in cards},
            SHOWN=SHOWN,
            SHOWN_OF_PART=SHOWN_OF_PART,
            bars=bars,
            width=WIDTH,
            height=HEIGHT,
            version=__version__,
            style=Markup(assets().style),
            policy=Markup(assets().policy),
            words=words,
            number=number,
            share=share,
            token=token,
            accuracy=accuracy,
            detection=detection,
            verdict_of=verdict_of,
        )
    )


def accuracy(found: Accuracy | None) -> str:
    """A balanced accuracy with its interval, or that there is none."""
    return "untested" if found is None else f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def detection(test: LabelTest) -> str:
    """What detection says, and of what where that isn't windows."""
    return f"detection{' over tokens' if test.over == 'tokens' else ''} {accuracy(test.detection)}"


def verdict_of(test: LabelTest) -> str:
    """What became of a label, in a word that the page's style knows."""
    return {True: "holds", False: "failed", None: "not tested"}[test.holds]
