"""What Neuronpedia's JSON of an attribution graph holds: its graph-schema.json, version 1.0.0.

Keys that the schema doesn't know are ours, and other readers pass them over: a node's `value`, `bias`, `left_out`,
`size` and `influence_share`, and what `info` says beside its own keys. `influence` is, as circuit-tracer writes it, the
share of all nodes' influence that a node has together with those of more: viewers prune by it.
"""

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator

__all__ = ["LIKE", "GraphJSON", "InfoJSON", "LinkJSON", "MetadataJSON", "NodeJSON", "PruningJSON", "QParamsJSON"]

LIKE = 1  # the number that circuit-tracer and Neuronpedia put into metadata.schema_version


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class InfoJSON(BaseModel):
    """Of the graph as a whole; what isn't in the schema is ours."""

    description: str = ""
    source_urls: list[str] = Field(default_factory=list)
    generator: dict[str, Any] = Field(default_factory=dict)
    replacement_score: float | None = None
    completeness_score: float | None = None
    n_active: int = 0
    n_traced: int = 0
    left_out: float = 0.0
    notes: list[str] = Field(default_factory=list)
    alike: list[list[str]] = Field(default_factory=list)


class PruningJSON(BaseModel):
    """The shares of influence by which it was pruned."""

    node_threshold: float | None = None
    edge_threshold: float | None = None


class MetadataJSON(BaseModel):
    """Whose graph it is."""

    slug: str
    scan: str
    prompt_tokens: list[str]
    prompt: str
    transcoder_list: list[str] = Field(default_factory=list)
    node_threshold: float | None = None
    schema_version: int | None = LIKE
    info: InfoJSON = Field(default_factory=InfoJSON)
    generation_settings: dict[str, Any] = Field(default_factory=dict)
    pruning_settings: PruningJSON = Field(default_factory=PruningJSON)


class QParamsJSON(BaseModel):
    """What a viewer shows at first.

    circuit-tracer's page saves what stands in its address: ids with commas, lists as JSON's text, and null.

    Attributes:
        supernodes: Lists of a name and ids.
        clerps: Labels that a reader gave: of a feature, by its number, or by its layer, number and position. They are
            read into the nodes, and not written: a page that finds any here expects JSON's text.
    """

    pinnedIds: list[str] = Field(default_factory=list)
    supernodes: list[list[str]] = Field(default_factory=list)
    linkType: str = "both"
    clickedId: str = ""
    sg_pos: str = ""
    clerps: list[list[str]] = Field(default_factory=list, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = {name: each for name, each in value.items() if each is not None}
        for name in ("supernodes", "clerps"):
            if isinstance(found.get(name), str):
                found[name] = json.loads(found[name] or "[]")
        if isinstance(found.get("pinnedIds"), str):
            found["pinnedIds"] = [each for each in found["pinnedIds"].split(",") if each]
        return found


class NodeJSON(BaseModel):
    """A node; `feature` is a token's id of a logit, a position of a token, a pair's number of a feature or head."""

    node_id: str
    feature: int | None
    layer: Annotated[str, BeforeValidator(_as_text)]
    ctx_idx: int
    feature_type: str
    token_prob: float | None = 0.0
    is_target_logit: bool = False
    run_idx: int = 0
    reverse_ctx_idx: int = 0
    jsNodeId: str
    clerp: str
    influence: float | None = None
    activation: float | None = None
    value: float | None = None
    bias: float | None = None
    left_out: float | None = None
    size: float | None = None
    influence_share: float | None = None


class LinkJSON(BaseModel):
    """An edge."""

    source: str
    target: str
    weight: float


class GraphJSON(BaseModel):
    """The file."""

    metadata: MetadataJSON
    qParams: QParamsJSON
    nodes: list[NodeJSON]
    links: list[LinkJSON]
