"""`--direction`: which methods take it, what a run records of it, and what its evaluation says."""

import json
from pathlib import Path

import pytest

from acdc import discover, evaluate
from acdc.cli import main
from acdc.discovery import METHODS
from acdc.errors import RunError

BOTH = [name for name, method in METHODS.items() if not method.noising_only]
FAST = {"n": 4, "out": None, "direction": "denoising"}


def test_what_can_look_by_denoising_and_what_can_not() -> None:
    assert {"acdc", "hap", "exact", "eap", "eap-ig-inputs"} <= set(BOTH)
    assert not {"edge-pruning", "subnetwork-probing", "ifr", "hisp"} & set(BOTH)


@pytest.mark.parametrize("method", BOTH)
def test_a_run_by_denoising_says_so(method: str) -> None:
    result = discover(None, "either", method=method, **FAST)
    assert result.record["arguments"]["direction"] == "denoising"
    assert result.circuit.provenance["direction"] == "denoising"
    assert "denoising" in result.summary().splitlines()[0]
    assert any("measured by noising" in warning for warning in result.warnings)
    if not METHODS[method].baseline:
        assert result.record["evidence"]["restored_by_others"] < 0.2, "the corruption acts through the circuit"


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(BOTH)))
def test_methods_that_only_noise_are_refused_by_name(method: str) -> None:
    with pytest.raises(RunError, match=f"method '{method}' can't look for a circuit by denoising; these can: acdc"):
        discover(None, "either", method=method, **FAST)


def test_other_ablations_are_refused() -> None:
    with pytest.raises(RunError, match="needs ablation 'corrupt', not 'zero'"):
        discover(None, "either", ablation="zero", **FAST)


def test_the_certificate_is_checked_in_the_run_s_direction(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path), "-q"]
    assert (
        main(["discover", "either", "--direction", "denoising", "--n", "4", "--sweeps", "0", "--tau", "0.5", *out]) == 0
    )
    (record,) = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["arguments"]["direction"] == "denoising"
    found = evaluate(record.parent, only=["certificate"], n=4)
    assert found.report["parts"]["certificate"]["holds"] is True
    assert found.report["parts"]["certificate"]["direction"] == "denoising"
    assert "denoising" in found.summary()
