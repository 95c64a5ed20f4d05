"""Discovery methods on models whose circuit is known."""

from acdc.benchmarking.bench import benchmark
from acdc.benchmarking.known import Known, known_circuits, known_models
from acdc.benchmarking.recovery import auc, compare

__all__ = ["Known", "auc", "benchmark", "compare", "known_circuits", "known_models"]
