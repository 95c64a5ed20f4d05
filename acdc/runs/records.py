"""What `run.json`, `metrics.json` and a circuit's provenance must hold: whatever is read from them stands here."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from acdc.discovery.options import renamed
from acdc.options.defaults import ABLATION, DEVICE, DIRECTION, DTYPE, N_PROMPTS, POSITIONS, SEED

__all__ = ["Metrics", "Provenance", "Record"]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(max_length=10_000)]


def _named_as_now(options: Any) -> Any:
    return renamed(options) if isinstance(options, dict) else options


def _meant_then(ablation: Any) -> Any:
    """Up to version 0.2.0 the mean per position was called mean; what is called so now is recorded as mean-all."""
    return "mean-positional" if ablation == "mean" else ablation


AblationName = Annotated[Text, BeforeValidator(_meant_then)]
Options = Annotated[dict[str, Any], BeforeValidator(_named_as_now)]  # of a method; any kind of value, so only shown


class _Part(BaseModel):
    """Fields of other names may stand beside those that are read."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=())


class _Arguments(_Part):
    task: Text
    task_name: Text
    task_options: dict[str, Any] = {}
    task_sha256: Text | None = None
    model: Text
    method: Text
    metric: Text
    ablation: AblationName
    direction: Text = DIRECTION
    positions: Text = POSITIONS
    n: Count
    n_asked: Count | None = None
    seed: Count
    bos: bool | None = None
    dtype: Text
    device: Text
    revision: Text | None = None
    trust_remote_code: bool = False
    options: Options


class Provenance(_Part):
    """What a circuit carries of the run that found it; one of other tools carries nothing."""

    task: Text | None = None
    task_name: Text | None = None
    task_options: dict[str, Any] = {}
    task_sha256: Text | None = None
    model: Text | None = None
    method: Text | None = None
    metric: Text | None = None
    ablation: AblationName = ABLATION
    direction: Text = DIRECTION
    positions: Text = POSITIONS
    n: Count = N_PROMPTS
    n_asked: Count | None = None
    seed: Count = SEED
    bos: bool | None = None
    dtype: Text = DTYPE
    device: Text = DEVICE
    revision: Text | None = None
    trust_remote_code: bool = False
    tau: float | Text | None = None
    weights_sha256: Text | None = None
    config_sha256: Text | None = None
    tokenizer_sha256: Text | None = None
    prompts_sha256: Text | None = None
    resolved: Options = {}


class _Seconds(_Part):
    total: float
    search: float


class Record(_Part):
    """`run.json`."""

    fingerprint: Text
    arguments: _Arguments
    model: dict[str, Any]
    prompts_sha256: Text
    seconds: _Seconds
    resumed: bool = False
    cost: dict[Text, int | float | None]
    claims: dict[Text, Any] = {}
    evidence: dict[Text, Any] = {}
    resolved: Options = {}
    warnings: list[Text] = []
    files: list[Text] = []

    @field_validator("files")
    @classmethod
    def _are_names(cls, files: list[str]) -> list[str]:
        for name in files:
            if name in ("", "..") or "\0" in name or Path(name).name != name:
                raise ValueError(f"must be names of files of this folder, which {name!r} is not")
        return files


class _Means(_Part):
    model: float | None
    circuit: float | None
    corrupted: float | None


class _Token(_Part):
    token: Text
    p: float | None


class _Prediction(_Part):
    prompt: Annotated[str, Field(max_length=10**6)]
    correct: list[Text]
    wrong: list[Text]
    top: dict[Text, list[_Token]]


class _Measured(_Part):
    """What `acdc.evaluation.measure` gives."""

    n_prompts: Count
    n_edges: Count
    n_edges_of_model: Count
    n_nodes: Count
    accuracy: _Means
    top1_accuracy: _Means
    p_correct: _Means
    kl: _Means
    metric: Text
    faithfulness: float | None
    no_meaning: Text | None
    warnings: list[Text] = []
    predictions: list[_Prediction]

    @model_validator(mode="after")
    def _has_its_metric(self) -> "_Measured":
        if self.metric == "kl":
            return self
        try:
            _Means.model_validate((self.model_extra or {}).get(self.metric))
        except ValidationError:
            raise ValueError(f"the means of its metric {self.metric[:60]!r} are missing or no numbers") from None
        return self


class _HeldOut(_Measured):
    n_seen: Count


class Metrics(_Measured):
    """`metrics.json`."""

    held_out: _HeldOut | None = None
