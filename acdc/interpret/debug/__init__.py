"""One prompt debugged: what the model says, from which layer on, which nodes make it say so, and what happens without
them."""

from acdc.interpret.debug.diagnosis import Diagnosis
from acdc.interpret.debug.looking import diagnose
from acdc.interpret.debug.question import Question

__all__ = ["Diagnosis", "Question", "diagnose"]
