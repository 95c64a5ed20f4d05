"""The values that are taken where nothing else is asked for, each written once."""

__all__ = [
    "ABLATION",
    "ALIKE",
    "ALPHA",
    "CORRECTION",
    "DEVICE",
    "DIRECTION",
    "DTYPE",
    "EPSILON",
    "FAITHFULNESS",
    "LARGE",
    "LARGE_SIZE",
    "LEVEL",
    "MASKED_MEMORY",
    "MEMORY",
    "METHOD",
    "N_ABLATED",
    "N_CONTINUED",
    "N_CONTRASTED",
    "N_EXAMPLES",
    "N_EXPLAINED",
    "N_FOR_DIRECTIONS",
    "N_FOR_ROLES",
    "N_HELD_OUT",
    "N_PATCHED",
    "N_PROBED",
    "N_PROMPTS",
    "N_RANDOM",
    "N_SHOWN",
    "N_STEERED",
    "OUT",
    "PATCHED",
    "POSITIONS",
    "QUANTILE",
    "SEED",
    "TOP_CONTRASTED",
]

METHOD = "acdc"
N_PROMPTS = 50  # prompt pairs of a discovery
SEED = 0
POSITIONS = "all"  # edges are not split by span
ABLATION = "corrupt"  # what a removed edge carries: the corrupted prompt's activation
DIRECTION = "noising"  # the clean prompts run, and removed edges are spoilt
FAITHFULNESS = 0.9  # share of the metric that a circuit chosen by scores keeps
LARGE = 20_000  # edges of a model, above which a circuit chosen by scores has a fixed size instead
LARGE_SIZE = 500  # that size
DTYPE, DEVICE = "float32", "cpu"  # of a model
MEMORY = 256 * 2**20  # bytes of activations that a propagation, or a piece of a backward pass, may take
MASKED_MEMORY = 2**30  # bytes of activations that a masked forward pass may take
OUT = "outputs"  # where runs are kept
N_PATCHED = 10  # prompt pairs of a task whose activations are mapped: each costs as much as the first
PATCHED = ("resid_pre", "attn_out", "mlp_out", "z")  # what is mapped of them
N_EXAMPLES = 3  # prompt pairs of a task that are shown
N_FOR_DIRECTIONS = 80  # prompts whose means directions are differences of
N_STEERED = 40  # held-out prompt pairs that are steered
N_CONTINUED = 20  # tokens that a pushed model goes on to say
ALIKE = 0.3  # mean similarity from which on features are a group of a page
N_CONTRASTED = 500  # prompts of each set that features are to tell apart, or of the task that both are of
N_ABLATED = 100  # held-out prompts of each set on which the features that do are ablated
TOP_CONTRASTED = 10  # features that are tested for it
N_FOR_ROLES = 20  # prompt pairs of a task on which roles of heads are measured

N_HELD_OUT = 100  # prompt pairs of an evaluation
N_RANDOM = 50  # random circuits that a circuit is compared with
N_EXPLAINED = 40  # nodes of a circuit whose cards get all parts
N_SHOWN = 4  # prompts of an explanation that are shown
N_PROBED = 200  # prompts that probes are fitted on
LEVEL = 0.95  # coverage of intervals
ALPHA = 0.05  # level of tests
EPSILON = 0.1  # how far from 1/2 the share of won prompts may be for circuit and model to count as equivalent
QUANTILE = 0.9  # which share of random circuits, or edges, to be beyond
CORRECTION = "holm"  # of p-values for the number of edges tested
