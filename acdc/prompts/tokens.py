"""What a tokenizer does with a text: its pieces, its pieces in the middle of a text, and what it puts around it."""

from typing import Any, NamedTuple

from acdc.errors import TaskError, printable

__all__ = ["Surroundings", "continuation", "encode", "names_of", "pieces", "single_token", "surroundings"]

ANCHORS = ("\n", ":", ".")  # few tokenizers join one of these with what comes after it


class Surroundings(NamedTuple):
    """The special tokens that a tokenizer puts before and after a text by itself: often a BOS token, sometimes EOS."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of `text`, without special tokens."""
    return list(tokenizer.encode(text, add_special_tokens=False))


def continuation(tokenizer: Any, text: str) -> list[int]:
    """Token ids of `text` where it goes on with another text, as an answer does with its prompt.

    SentencePiece tokenizers put a space of their own before what starts a text: alone, " Mary" is then two tokens, and
    "33" is a " 33". So the text is read behind an anchor; alone only where the tokenizer knows no anchor.
    """
    for anchor in ANCHORS:
        start = _anchor(tokenizer, anchor)
        if start and tokenizer.unk_token_id not in start:
            whole = encode(tokenizer, anchor + text)
            if whole[: len(start)] == start:
                return whole[len(start) :]
    return encode(tokenizer, text)


def _anchor(tokenizer: Any, anchor: str) -> list[int]:
    try:
        return encode(tokenizer, anchor)
    except (KeyError, ValueError):  # a small tokenizer of one's own may know no such sign
        return []


def single_token(tokenizer: Any, text: str) -> int | None:
    """The id of the one token that spells `text` after other text, or None where it takes several or is unknown.

    Compared without outer spaces, which some tokenizers drop when they decode.
    """
    ids = continuation(tokenizer, text)
    if len(ids) != 1 or ids[0] in (tokenizer.unk_token_id,):
        return None
    return ids[0] if tokenizer.decode(ids).strip() == text.strip() else None


def surroundings(tokenizer: Any, text: str) -> Surroundings:
    """What the tokenizer puts around `text` by itself: read off what it makes of it.

    Attributes like `add_bos_token` are not asked: they say no for tokenizers that do put a BOS token (Gemma's).

    Raises:
        TaskError: The text's own tokens don't lie in what it makes of the text.
    """
    plain = encode(tokenizer, text)
    whole = list(tokenizer(text)["input_ids"] if callable(tokenizer) else tokenizer.encode(text))
    for start in range(len(whole) - len(plain), -1, -1):
        if whole[start : start + len(plain)] == plain:
            return Surroundings(tuple(whole[:start]), tuple(whole[start + len(plain) :]))
    raise TaskError(
        f"it can't be told which special tokens the tokenizer of {tokenizer.name_or_path!r} puts before "
        f"{printable(text, 60)!r}: with them it makes {names_of(tokenizer, whole)} of it, without {len(plain)} tokens; "
        "say bos=True or bos=False (--bos, --no-bos)"
    )


def names_of(tokenizer: Any, ids: list[int] | tuple[int, ...]) -> list[str]:
    """The tokens as the tokenizer writes them, special ones included."""
    return [str(token) for token in tokenizer.convert_ids_to_tokens(list(ids))]


def pieces(tokenizer: Any, ids: list[int] | tuple[int, ...]) -> list[str]:
    """The tokens as they read in a text, each with the space that belongs to it."""
    names, texts = names_of(tokenizer, ids), [str(tokenizer.decode([token])) for token in ids]
    return [
        f" {text}" if name.startswith("▁") and not text.startswith(" ") else text
        for name, text in zip(names, texts, strict=True)
    ]
