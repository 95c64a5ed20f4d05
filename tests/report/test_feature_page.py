"""The page of features' cards holds what a text says, escaped, and nothing that runs."""

from dataclasses import replace

from acdc.features.reading import card_of
from acdc.report.feature_page import feature_page
from acdc.report.histogram import HEIGHT, WIDTH, bars
from acdc.report.words import words
from tests.features.reading.planted import AFTER, DEAD, ON, RANDOM, planted
from tests.report.samples import HOSTILE
from tests.report.test_page import Reader


def test_cards_are_on_the_page() -> None:
    reading = planted().reading
    page = feature_page(reading, [card_of(reading, i) for i in (ON, AFTER, RANDOM, DEAD)])
    read = Reader(page)
    name = reading.names[planted().token]
    assert f"fires on {name!r}" in read.text and f"fires after {name!r}" in read.text
    assert "No rule: it never fires on this text." in read.text
    assert "detection over tokens" not in read.text and read.tags["rect"] > 3 and read.tags["svg"] == 3
    assert read.tags["section"] == 4 and read.tags["script"] == 0 and max(read.ids.values()) == 1


def test_bars_are_as_high_as_bins_are_full() -> None:
    found = bars([(0.5, 0.7, 4), (0.7, 1.0, 0), (1.0, float("inf"), 1)])
    assert [bar.height for bar in found] == [HEIGHT, 0, HEIGHT / 4]
    assert all(bar.y + bar.height == HEIGHT for bar in found) and [bar.low for bar in found] == ["0.5", "0.7", "1"]
    assert [bar.title for bar in found] == ["0.5 to 0.7: 4 tokens", "0.7 to 1: 0 tokens", "1 to ∞: 1 token"]
    assert found[0].x == 0 and found[1].x + found[1].width < found[2].x < WIDTH
    assert bars([(0.0, 1.0, 10_000), (1.0, 2.0, 1)])[1].height == 1  # seen at all
    assert bars([]) == []


def test_tokens_and_names_are_escaped() -> None:
    reading, text = planted().reading, "".join(HOSTILE)
    hostile = replace(
        reading,
        names={token: f"{text}{token}" for token in reading.names},
        about=replace(reading.about, dictionary=text, corpus=text),
    )
    read = Reader(feature_page(hostile, [card_of(hostile, ON)]))
    assert read.tags["script"] == 0 and read.tags["img"] == 0 and read.tags["h1"] == 1


def test_a_token_is_as_dark_as_it_is_strong() -> None:
    card = card_of(planted().reading, ON)
    for window in card.top:
        shades = [word.shade for word in words(window, card.act_max)]
        assert shades == [0 if not value else max(1, round(10 * value / card.act_max)) for value in window.activations]
        assert [bool(word.title) for word in words(window, card.act_max)] == [value > 0 for value in window.activations]
