"""The same dictionary in other weights: what one format says in words another has in its numbers."""

from dataclasses import replace

from acdc.errors import FileError
from acdc.features.activations import Gated
from acdc.features.dictionary import Dictionary

__all__ = ["folded_b_dec", "scaled"]


def folded_b_dec(dictionary: Dictionary) -> Dictionary:
    """The same with an encoder that reads what is there, not `x - b_dec`: its bias takes that off.

    Raises:
        FileError: It is gated: two biases would have to.
    """
    if not dictionary.takes_off_b_dec:
        return dictionary
    if isinstance(dictionary.activation, Gated):
        raise FileError(f"dictionary {dictionary.name!r} is gated and takes b_dec off, which this format can't say")
    b_enc = dictionary.b_enc - dictionary.encoder @ dictionary.b_dec[0]
    return replace(dictionary, b_enc=b_enc, takes_off_b_dec=False)


def scaled(dictionary: Dictionary, scale: float) -> Dictionary:
    """An SAE of activations as they are, from that of activations times `scale`, whose features it has."""
    return replace(
        dictionary,
        encoder=dictionary.encoder * scale,
        decoder=dictionary.decoder[:] / scale,
        b_dec=dictionary.b_dec / scale,
    )
