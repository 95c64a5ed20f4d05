"""The example that labels features by a language model, with functions in its place."""

import sys
from pathlib import Path

import pytest

from acdc.features.reading import judged
from tests.features.reading.planted import ON, planted

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_good_model_gives_a_label_that_holds_and_a_bad_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import label_features

    name, prompts = planted().reading.names[planted().token], list[str]()

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return f"the token {name}"

    def lean(prompt: str) -> float:
        prompts.append(prompt)
        asked = prompt.split("\n")[1]
        return float(f"«{name}»" in asked if "«" in asked else name in asked)

    found = judged(planted().reading, ON, label_features.labeller(write), label_features.judge(lean))
    assert found.label == f"the token {name}" and found.holds and found.detection is not None
    assert found.fuzzing is not None and found.fuzzing.value == 1 and len(prompts) == 101
    assert found.detection.value > 0.9  # the first token of a window, on which nothing counts, may be it too
    assert prompts[0].count(f"«{name}»") >= 5 and prompts[0].endswith("It fires on")
    assert all(found.label in prompt for prompt in prompts[1:])
    worst = judged(planted().reading, ON, "it", label_features.judge(lambda prompt: -lean(prompt)))
    assert worst.detection is not None and worst.detection.value <= 0.5 and worst.holds is False
    sys.modules.pop("label_features")
