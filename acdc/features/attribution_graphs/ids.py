"""Ids of an attribution graph's nodes, as Neuronpedia and circuit-tracer write them.

| node | id |
|---|---|
| feature F of layer L at position P | `L_F_P` |
| error of layer L at position P | `L_-1_P` |
| token V at position P | `E_V_P` |
| logit of token V, of a model of L layers, read at position P | `(L + 1)_V_P` |
| head H, or MLP, of layer L at position P | `L_hH_P`, `L_mlp_P` |

Older files call an error `0_L_P`, which may be a feature's id too.
"""

__all__ = ["id_of"]


def id_of(kind: str, layer: int, position: int, index: int) -> str:
    """The id of a node.

    >>> id_of("feature", 5, 7, 123), id_of("logit", 12, 7, 50), id_of("head", 2, 7, 0)
    ('5_123_7', '13_50_7', '2_h0_7')
    """
    match kind:
        case "token":
            return f"E_{index}_{position}"
        case "logit":
            return f"{layer + 1}_{index}_{position}"
        case "head":
            return f"{layer}_h{index}_{position}"
        case "mlp":
            return f"{layer}_mlp_{position}"
    return f"{layer}_{index}_{position}"
