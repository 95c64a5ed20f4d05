"""A word-level tokenizer in which, as in GPT-2's, the leading space belongs to the word and a year is two tokens.

`" Mary"` and `"When"` are words; `" 1732"` is `" 17"` and `"32"`; the end of a line and the indent after it are one
token. Decoding joins the tokens as they are, so text made of known words round-trips. Unknown words become `<unk>`.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

PIECES = r" ?[A-Za-z]+| ?[0-9]{2}|\n *|\"{3}|[^A-Za-z0-9]|[0-9]"
BOS, PAD, UNK = "<bos>", "<pad>", "<unk>"
N_SPECIAL = 3  # these come first, then the words


def pieces(text: str) -> list[str]:
    """The words of a text: `pieces("The year 1732.")` is `["The", " year", " 17", "32", "."]`."""
    return re.findall(PIECES, text)


def build_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A tokenizer of BOS, PAD, UNK (ids 0, 1, 2) and then the words in the order given."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([BOS, PAD, UNK, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([BOS, PAD, UNK])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, n_positions: int) -> None:
    """Write `tokenizer.json` and the configuration from which `AutoTokenizer.from_pretrained(folder)` loads it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "pad_token": PAD,
        "unk_token": UNK,
        "clean_up_tokenization_spaces": False,
        "model_max_length": n_positions,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
