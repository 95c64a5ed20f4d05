"""Acting on features: pushing one while the model runs, and features that tell two sets of prompts apart."""

from acdc.features.acting.contrast import Contrast, contrast
from acdc.features.acting.doses import Doses, dose_effects
from acdc.features.acting.pushing import Push, continued_text, pushed

__all__ = ["Contrast", "Doses", "Push", "continued_text", "contrast", "dose_effects", "pushed"]
