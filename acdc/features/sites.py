"""Where a dictionary reads and writes, and a run in which every such place can be seen and replaced.

| site | what it holds | width |
|---|---|---|
| `resid_pre`, `resid_mid`, `resid_post` | the residual stream before a block, in its middle, behind it | d_model |
| `attn_out`, `mlp_out` | what attention, or the MLP, adds to the residual stream: a norm after it included | d_model |
| `mlp_in` | what the MLP reads, normed | d_model |
| `z` | the heads' outputs before W_O, side by side | n_heads d_head |

`resid_post` of a block is `resid_pre` of the next one; a run visits both. In parallel blocks, where the MLP reads what
attention reads, there is no `resid_mid`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import ModelError, unknown_name
from acdc.models import PatchableModel
from acdc.models.components import Block
from acdc.patching.attention import attend_layer, layer_out, project_layer
from acdc.patching.layout import Layout
from acdc.prompts.batch import PromptBatch

__all__ = ["KINDS", "Site", "Visit", "sites_named", "sites_of", "through_sites", "width_of"]

KINDS = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post")  # as a block computes them


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model.

    >>> str(Site(5, "mlp_out")), Site.parse("mlp_out.5")
    ('mlp_out.5', Site(layer=5, kind='mlp_out'))
    """

    layer: int
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    @classmethod
    def parse(cls, name: str) -> "Site":
        """The site of a name like `resid_post.5`.

        Raises:
            UnknownNameError: There is no such kind of site.
            ModelError: No layer follows.
        """
        kind, _, layer = name.partition(".")
        if kind not in KINDS:
            raise unknown_name("site", kind, KINDS)
        if not layer.isdecimal():
            raise ModelError(f"site {name!r} must end in its layer, like {kind}.0")
        return cls(int(layer), kind)


Visit = Callable[[Site, Float[Tensor, "batch pos width"]], Float[Tensor, "batch pos width"]]


def sites_of(model: PatchableModel) -> tuple[Site, ...]:
    """All sites of a model in the order in which a run visits them."""
    kinds = [kind for kind in KINDS if kind != "resid_mid" or not model.components.parallel]
    return tuple(Site(layer, kind) for layer in range(model.graph.n_layers) for kind in kinds)


def sites_named(model: PatchableModel, name: str) -> tuple[Site, ...]:
    """The site of a name like `mlp_in.5`, or those of all layers of `mlp_in`.

    Raises:
        UnknownNameError: There is no such kind of site.
        ModelError: What follows is no layer.
    """
    if name in KINDS:
        return tuple(Site(layer, name) for layer in range(model.graph.n_layers))
    return (Site.parse(name),)


def width_of(model: PatchableModel, site: Site) -> int:
    """The number of dimensions at a site.

    Raises:
        ModelError: The model has no such site.
    """
    if site not in sites_of(model):
        n = model.graph.n_layers
        why = "its blocks are parallel" if site.layer < n else f"it has {n} layers, 0 to {n - 1}"
        raise ModelError(f"{model.name!r} has no site {site}: {why}")
    if site.kind != "z":
        return model.graph.d_model
    n_heads, d_head, _ = model.components.blocks[site.layer].attention.W_O.shape
    return n_heads * d_head


def through_sites(
    model: PatchableModel,
    batch: PromptBatch,
    ids: Int[Tensor, "batch pos"],
    visit: Visit,
    *,
    embeddings: Float[Tensor, "batch pos d_model"] | None = None,
    start: int = 0,
    blocks: Sequence[Block] | None = None,
    stop: Site | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """Run the model, and let `visit` see what each site holds and say what goes on from there.

    Gradients flow where they are enabled; `acdc.patching.frozen` keeps those of the weights out.

    Args:
        ids: The tokens, laid out as the batch's (its clean or corrupted prompts, or a text's).
        visit: Called with every site in order; gives back what it was given where nothing is to be changed.
        embeddings: Read instead of the embedded ids, by the first block that runs.
        start: That block: the sites before it aren't visited.
        blocks: Run instead of the model's own, like some with frozen patterns.
        stop: The last site that is wanted: the run ends behind it.

    Returns:
        The residual stream that the unembedding reads (`model.unembed` makes logits of it); where the run was stopped,
        what the last site holds.
    """
    components, layout = model.components, Layout(batch, model.dtype)
    x = model.embed(ids, batch.position_ids) if embeddings is None else embeddings
    for layer, block in enumerate((components.blocks if blocks is None else blocks)[start:], start):
        at = _AtLayer(layer, visit, stop)
        read_by_heads = x = at("resid_pre", x)
        if at.stopped:
            return x
        attention, normed, tables = block.attention, block.ln1(x), layout.rotary(block.attention)
        q, k, v = (project_layer(attention, kind, normed, tables) for kind in ("q", "k", "v"))
        z = attend_layer(attention, q[:, None], k[:, None], v[:, None], layout.bias_of(attention))[:, 0]
        flat = at("z", z.permute(1, 2, 0, 3).flatten(2))
        if at.stopped:
            return flat
        out = at("attn_out", layer_out(block, flat.unflatten(2, (len(z), -1)).permute(2, 0, 1, 3)))
        if at.stopped:
            return out
        x = x + out
        if not components.parallel:
            x = at("resid_mid", x)
            if at.stopped:
                return x
        read = at("mlp_in", block.ln2(read_by_heads if components.parallel else x))
        if at.stopped:
            return read
        mlp = at("mlp_out", block.mlp(read))
        if at.stopped:
            return mlp
        x = at("resid_post", x + mlp)
        if at.stopped:
            return x
    return x


class _AtLayer:
    """Visits the sites of a layer, until the last one that is wanted was seen."""

    def __init__(self, layer: int, visit: Visit, stop: Site | None) -> None:
        self.layer, self.visit, self.stop, self.stopped = layer, visit, stop, False

    def __call__(self, kind: str, x: Tensor) -> Tensor:
        site = Site(self.layer, kind)
        self.stopped = site == self.stop
        return self.visit(site, x)
