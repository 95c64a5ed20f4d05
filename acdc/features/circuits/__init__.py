"""Circuits of features: nodes are features of dictionaries (Marks et al. 2024, Sparse feature circuits)."""

from acdc.features.circuits.circuit import FeatureCircuit
from acdc.features.circuits.evidence import FeatureEvidence, evaluate
from acdc.features.circuits.file import load_feature_circuit
from acdc.features.circuits.finding import find
from acdc.features.circuits.nodes import FeatureEdge, FeatureNode, NodeName
from acdc.features.circuits.shift import Shift, shift

__all__ = [
    "FeatureCircuit",
    "FeatureEdge",
    "FeatureEvidence",
    "FeatureNode",
    "NodeName",
    "Shift",
    "evaluate",
    "find",
    "load_feature_circuit",
    "shift",
]
