"""Labels of features by a language model of your own, tested beside the engine's rules.

    acdc features acdc-small.resid_post.1 --model acdc-small --task ioi       # the features are read first
    python examples/label_features.py acdc-small.resid_post.1 smollm2 3

Any causal language model of Hugging Face will do: a folder, or a name. A small one is a poor judge: the tests say so.
"""

import sys
from collections.abc import Callable, Sequence

import torch

from acdc.features.reading import Window, judged, rule_of
from acdc.models import PatchableModel
from acdc.runs.features.reading import saved_reading

ASKED = 5  # examples that the model is shown
Lean = Callable[[str], float]  # how much likelier a prompt goes on with " yes" than with " no", in nats
Write = Callable[[str], str]  # from a prompt to the line that follows


def labeller(write: Write) -> Callable[[Sequence[Window]], str]:
    """From examples to a sentence."""

    def label(examples: Sequence[Window]) -> str:
        shown = "\n".join(example.text() for example in examples[:ASKED])
        return write(f"A neuron fires on the words between « and » in these texts.\n{shown}\nIt fires on")

    return label


def judge(lean: Lean) -> Callable[[str, Sequence[Window]], list[bool]]:
    """From a sentence and windows to answers: yes to the half of them in which the model leans most to it, since one
    that isn't large leans to the same answer whatever it reads."""

    def detect(sentence: str, windows: Sequence[Window]) -> list[bool]:
        asks = "the words between « and »" if any(windows[0].marked) else "a word of this text"
        prompts = [f"A neuron fires on {sentence}.\n{w.text()}\nDoes it fire on {asks}? Answer:" for w in windows]
        leaning = [lean(prompt) for prompt in prompts]
        middle = sorted(leaning)[len(leaning) // 2]
        return [each >= middle for each in leaning]

    return detect


class LanguageModel:
    """A Hugging Face model that writes a line, and leans to an answer."""

    def __init__(self, name: str) -> None:
        loaded = PatchableModel.from_pretrained(name)
        self.model, self.tokenizer = loaded.hf, loaded.tokenizer
        self.yes, self.no = (self.tokenizer(word, add_special_tokens=False).input_ids[0] for word in (" yes", " no"))
        if self.yes == self.no:
            raise SystemExit(f"{name} is no judge: its tokenizer has no token of its own for ' yes' or ' no'")

    @torch.no_grad()
    def write(self, prompt: str) -> str:
        given = self.tokenizer(prompt, return_tensors="pt")
        ids = self.model.generate(**given, max_new_tokens=16, do_sample=False)[0, given.input_ids.shape[1] :]
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip().split("\n")[0]

    @torch.no_grad()
    def lean(self, prompt: str) -> float:
        logits = self.model(**self.tokenizer(prompt, return_tensors="pt"), logits_to_keep=1).logits[0, -1]
        return float(logits[self.yes] - logits[self.no])


def main(dictionary: str, model: str, *features: str) -> None:
    reading, language = saved_reading(dictionary).reading, LanguageModel(model)
    for index in map(int, features):
        rule = rule_of(reading, index)
        for test in (judged(reading, index, labeller(language.write), judge(language.lean)), rule and rule.test):
            if test:
                print(index, test.label, test.detection, test.fuzzing, test.holds, test.why, sep=" | ")


if __name__ == "__main__":
    main(*sys.argv[1:])
