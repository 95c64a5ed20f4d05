"""The same dictionary in other weights: what one format says in words another has in its numbers."""

from dataclasses import replace

import torch

from acdc.errors import FileError, ModelError
from acdc.features.activations import Gated
from acdc.features.dictionary import Dictionary
from acdc.models import PatchableModel

__all__ = ["scaled", "taking_off_b_dec", "with_gain"]


def taking_off_b_dec(dictionary: Dictionary, wanted: bool) -> Dictionary:
    """The same with an encoder that reads `x - b_dec`, or `x`, as wanted: its bias makes up for it.

    Raises:
        FileError: It is gated: two biases would have to.
    """
    if dictionary.takes_off_b_dec == wanted:
        return dictionary
    if isinstance(dictionary.activation, Gated):
        how = "takes b_dec off" if dictionary.takes_off_b_dec else "doesn't take b_dec off"
        raise FileError(f"dictionary {dictionary.name!r} is gated and {how}, which this format can't say")
    shift = dictionary.encoder @ dictionary.b_dec[0]
    return replace(dictionary, b_enc=dictionary.b_enc + (shift if wanted else -shift), takes_off_b_dec=wanted)


def scaled(dictionary: Dictionary, scale: float) -> Dictionary:
    """An SAE of activations as they are, from that of activations times `scale`, whose features it has."""
    return replace(
        dictionary,
        encoder=dictionary.encoder * scale,
        decoder=dictionary.decoder[:] / scale,
        b_dec=dictionary.b_dec / scale,
    )


def with_gain(dictionary: Dictionary, model: PatchableModel | None) -> Dictionary:
    """The dictionary of what the MLP reads, from that of the same before the norm's gain (`ln2.hook_normalized`), whose
    features it has.

    Raises:
        ModelError: No model is given, it doesn't fit, or its norm isn't an RMS norm: for layer norms the hook's place
            depends on how the model was processed.
    """
    if model is None:
        raise ModelError(
            f"dictionary {dictionary.name!r} reads what the MLP reads before the norm's gain (ln2.hook_normalized): "
            "give the model, whose gain is folded into it (model=)"
        )
    dictionary.check_fits(model)
    norm = model.components.blocks[dictionary.reads.layer].ln2
    constant = model.components.unembed.new_full((1, 1, dictionary.d_in), 1024.0)
    gain, mirrored = norm(constant)[0, 0].detach(), norm(-constant)[0, 0].detach()
    if not torch.equal(gain, -mirrored) or (gain == 0).any():  # an RMS norm makes ones of any constant
        raise ModelError(
            f"dictionary {dictionary.name!r} reads ln2.hook_normalized, and {model.name!r} has no RMS norm there: if "
            f"it was trained behind gain and bias, give site='{dictionary.reads}'"
        )
    gain = gain.to(dictionary.encoder)
    skip = None if dictionary.skip is None else dictionary.skip / gain
    return replace(dictionary, encoder=dictionary.encoder / gain, skip=skip)
