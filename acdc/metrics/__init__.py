"""What a circuit is measured by: pure functions of the logits at the target position, computed in float32 at least.

| metric | value of a prompt | better |
|---|---|---|
| `kl` | KL(full model ‖ circuit) over the vocabulary, in nats | lower |
| `logit_diff` | mean logit of the correct answers - mean logit of the wrong ones | higher |
| `prob_diff` | probability of the correct answers - probability of the wrong ones | higher |
| `answer_logprob` | log probability of the whole correct answer - that of the wrong one, in nats | higher |
| `nll` | -log of the correct answers' total probability, in nats | lower |

Discovery minimises the **loss**: the mean value where lower is better, minus the mean value where higher is better.

Every module here that declares a `METRIC` adds one.
"""

from acdc.metrics.answers import accuracy, answer_probability, top1_accuracy
from acdc.metrics.metric import Metric
from acdc.metrics.objective import Objective
from acdc.registry import Registry, declared

__all__ = ["METRICS", "Metric", "Objective", "accuracy", "answer_probability", "get_metric", "top1_accuracy"]

METRICS: Registry[Metric] = Registry.of("metric", declared(__name__, "METRIC"))


def get_metric(name: "str | Metric") -> Metric:
    """The metric of this name; a `Metric` is returned as it is.

    Raises:
        UnknownNameError: No metric has this name.
    """
    return name if isinstance(name, Metric) else METRICS.find(name)
