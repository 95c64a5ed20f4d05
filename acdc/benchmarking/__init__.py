"""Discovery methods on models whose circuit is known."""

from acdc.benchmarking.bench import benchmark
from acdc.benchmarking.known import Known, known_circuits, known_models
from acdc.benchmarking.recovery import compare

__all__ = ["Known", "benchmark", "compare", "known_circuits", "known_models"]
