"""What a circuit does, beside the whole model and beside other circuits."""

from acdc.evaluation.compare import Comparison, compare_circuits, edge_groups, roc_auc
from acdc.evaluation.faithfulness import measure

__all__ = ["Comparison", "compare_circuits", "edge_groups", "measure", "roc_auc"]
