"""Acting on features: pushing one while the model runs, and features that tell two sets of prompts apart."""

from acdc.features.acting.ablating import Ablated, ablate_found
from acdc.features.acting.continuing import Continued, continued
from acdc.features.acting.contrast import Contrast, contrast
from acdc.features.acting.control import Control, Firings, control_of, firings
from acdc.features.acting.doses import Doses, dose_effects
from acdc.features.acting.pushing import Push, pushed

__all__ = [
    "Ablated",
    "Continued",
    "Contrast",
    "Control",
    "Doses",
    "Firings",
    "Push",
    "ablate_found",
    "continued",
    "contrast",
    "control_of",
    "dose_effects",
    "firings",
    "pushed",
]
