"""Is this circuit real? What a circuit does beside its model, how sure that is, and what it withstands.

Nothing here changes the circuit that it evaluates. docs/evaluation.md describes every number.
"""

from acdc.evaluation.areas import MIB_SHARES, corrected_areas, log_sizes, mib_areas, mib_sizes
from acdc.evaluation.confidence import Interval, faithfulness_interval, headline, mean_interval, share_interval
from acdc.evaluation.curves import Curve, areas, curve, curve_sizes, mib_cpr
from acdc.evaluation.faithfulness import measure
from acdc.evaluation.figures import draw_curve, draw_specification
from acdc.evaluation.knockouts import Knockouts, Step, knock_out_edges, knock_out_nodes
from acdc.evaluation.needs import Need, Needs, minimality, n_knock_outs
from acdc.evaluation.part import Part
from acdc.evaluation.parts import PARTS
from acdc.evaluation.parts.certificate import Certificate, certify
from acdc.evaluation.parts.completeness import Completeness, Damage, completeness
from acdc.evaluation.parts.equivalence import equivalence_test
from acdc.evaluation.parts.independence import independence_test
from acdc.evaluation.parts.minimality import EdgeTest, MinimalityTest, minimality_test
from acdc.evaluation.parts.sufficiency import SufficiencyTest, sufficiency_test
from acdc.evaluation.random_circuits import degree_matched, inflated, random_path, size_matched
from acdc.evaluation.specification import Specification, Specifications, denoised_logits, specifications
from acdc.evaluation.stability import Stability, rediscover, resampled, stability
from acdc.evaluation.statistics import HSICTest, QuantileTest, SignTest, adjust, hsic_test, quantile_test, sign_test
from acdc.evaluation.values import Outcomes, normalised, outcomes_of, prompt_values
from acdc.evaluation.worst import PromptOutcome, worst_prompts

__all__ = [
    "MIB_SHARES",
    "PARTS",
    "Certificate",
    "Completeness",
    "Curve",
    "Damage",
    "EdgeTest",
    "HSICTest",
    "Interval",
    "Knockouts",
    "MinimalityTest",
    "Need",
    "Needs",
    "Outcomes",
    "Part",
    "PromptOutcome",
    "QuantileTest",
    "SignTest",
    "Specification",
    "Specifications",
    "Stability",
    "Step",
    "SufficiencyTest",
    "adjust",
    "areas",
    "certify",
    "completeness",
    "corrected_areas",
    "curve",
    "curve_sizes",
    "degree_matched",
    "denoised_logits",
    "draw_curve",
    "draw_specification",
    "equivalence_test",
    "faithfulness_interval",
    "headline",
    "hsic_test",
    "independence_test",
    "inflated",
    "knock_out_edges",
    "knock_out_nodes",
    "log_sizes",
    "mean_interval",
    "measure",
    "mib_areas",
    "mib_cpr",
    "mib_sizes",
    "minimality",
    "minimality_test",
    "n_knock_outs",
    "normalised",
    "outcomes_of",
    "prompt_values",
    "quantile_test",
    "random_path",
    "rediscover",
    "resampled",
    "share_interval",
    "sign_test",
    "size_matched",
    "specifications",
    "stability",
    "sufficiency_test",
    "worst_prompts",
]
