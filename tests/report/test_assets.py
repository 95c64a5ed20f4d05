"""What a page carries: the library as it was published, and colours that can be read."""

import re
from hashlib import sha256

import pytest

from acdc.report.assets import assets

pytestmark = pytest.mark.fast


def test_the_library_is_the_published_one_with_its_licence() -> None:
    assert "v7.9.2" in assets().library[:60] and "Permission to use, copy, modify" in assets().licence
    published = "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"
    assert sha256(assets().library.encode()).hexdigest() == published


def test_nothing_ends_an_element_early() -> None:
    assert "</script" not in (assets().library + assets().script).lower() and "<!--" not in assets().script
    assert "</style" not in assets().style.lower()


def test_no_script_writes_html_or_makes_code_of_text() -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", assets().script
    )


def luminance(color: str) -> float:
    """Relative luminance, as WCAG defines it."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


CELLS = re.findall(r"\.([ds]-?\d+) \{ background: (#\w+); color: (#\w+); \}", assets().style)


@pytest.mark.parametrize(("name", "back", "text"), CELLS, ids=[name for name, *_ in CELLS])
def test_every_cell_of_a_grid_can_be_read(name: str, back: str, text: str) -> None:
    light, dark = sorted((luminance(back), luminance(text)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_every_step_of_both_scales_has_a_colour() -> None:
    names = {name for name, *_ in CELLS}
    assert names == {f"d{step}" for step in range(-10, 11)} | {f"s{step}" for step in range(11)}
