"""A model's name is looked up in one place, and the hub is asked only for what is nowhere else."""

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models.hub import check_reachable
from acdc.models.source import find_model, recorded_name
from acdc.zoo import zoo_path


def test_a_folder_goes_before_the_bundled_model_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model("acdc-small").path == zoo_path("acdc-small")
    (tmp_path / "acdc-small").symlink_to(zoo_path("induction-compiled"))
    monkeypatch.chdir(tmp_path)
    assert find_model("acdc-small").path == Path("acdc-small")


def test_what_is_nowhere_here_is_of_the_hub() -> None:
    assert find_model("gpt2").on_hub and find_model("EleutherAI/pythia-160m").place() == "EleutherAI/pythia-160m"
    assert not find_model("acdc-small").on_hub


@pytest.mark.parametrize("name", ["./nothing", "/nowhere/at/all", "a/b/c", "~/nothing-here"])
def test_a_path_to_nothing_is_told(name: str) -> None:
    with pytest.raises(ModelError, match="there is no model folder"):
        find_model(name)


def test_records_hold_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").symlink_to(zoo_path("acdc-small"))
    monkeypatch.chdir(tmp_path)
    assert recorded_name("./mine") == str(zoo_path("acdc-small").resolve())
    assert recorded_name("acdc-small") == "acdc-small" and recorded_name("gpt2") == "gpt2"


def hub_that(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def model_info(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)


def test_no_way_to_the_hub_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_that(monkeypatch, OSError("Name or service not known"))
    with pytest.raises(ModelError, match=r"no downloaded copy, and no way to https://.*Name or service not known"):
        PatchableModel.from_pretrained("nobody/nothing-of-this-name")


def test_a_hub_that_answers_is_a_hub_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has against the name is told when the model is loaded."""
    hub_that(monkeypatch, HfHubHTTPError("404", response=SimpleNamespace(headers={}, request=None)))  # type: ignore[arg-type]
    check_reachable("nobody/nothing-of-this-name")


def test_what_can_be_no_name_is_told() -> None:
    with pytest.raises(ModelError, match="is no name of a model"):
        PatchableModel.from_pretrained("a model?")


def test_a_known_model_of_nearly_this_name_is_told() -> None:
    with pytest.raises(ModelError, match="did you mean the bundled 'acdc-small'"):
        PatchableModel.from_pretrained("acdc-smal")
