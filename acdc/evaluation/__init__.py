"""What a circuit does, beside the whole model."""

from acdc.evaluation.faithfulness import measure

__all__ = ["measure"]
