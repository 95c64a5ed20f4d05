"""The values that are taken where nothing else is asked for, each written once."""

__all__ = ["ABLATION", "DEVICE", "DTYPE", "MASKED_MEMORY", "MEMORY", "N_PROMPTS", "OUT", "SEED"]

N_PROMPTS = 50  # prompt pairs of a discovery
SEED = 0
ABLATION = "corrupt"  # what a removed edge carries: the corrupted prompt's activation
DTYPE, DEVICE = "float32", "cpu"  # of a model
MEMORY = 256 * 2**20  # bytes of activations that a propagation, or a piece of a backward pass, may take
MASKED_MEMORY = 2**30  # bytes of activations that a masked forward pass may take
OUT = "outputs"  # where runs are kept
