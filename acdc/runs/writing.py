"""Writing a finished run into its folder."""

import logging
from dataclasses import replace
from pathlib import Path

from acdc.circuits.views import MAX_LISTED_EDGES
from acdc.drawing import draw, draw_selection
from acdc.errors import FileError, UnsavedError
from acdc.files import write_csv, write_json
from acdc.options.defaults import FAITHFULNESS
from acdc.patching.problem import Problem
from acdc.runs.conclusion import Conclusion
from acdc.runs.folders import CIRCUIT, METRICS, RECORD
from acdc.runs.learning import write_constants
from acdc.runs.page import write_run_page
from acdc.runs.prompt_file import PROMPTS, write_prompts
from acdc.runs.result import RunResult
from acdc.runs.summary import title

__all__ = ["write_run"]

logger = logging.getLogger(__name__)

CURVE = "curve.svg"
UNSAVED = "what was found is in the checkpoint: make room there, and the same command or call writes it at once"


def write_run(folder: Path, conclusion: Conclusion, problem: Problem) -> RunResult:
    """Write everything; the record, which names the files, comes last, as the sign of a finished run.

    Raises:
        UnsavedError: Something can't be written; it holds the result.
    """
    result, prompts = conclusion.result, folder / PROMPTS
    try:
        files = [result.circuit.save(folder / CIRCUIT), write_json(folder / METRICS, result.metrics)]
        files.append(write_csv(folder / "edges.csv", result.circuit.to_frame(most=MAX_LISTED_EDGES)))
        files += write_constants(folder, problem, result.record["model"]["weights_sha256"])
        files += _draw(folder, result)
        files.append(write_prompts(prompts, problem.model.tokenizer, problem.batch, conclusion.held_out))
        files += _write_page(folder, result)
        record = {**result.record, "files": [*(file.name for file in files), RECORD]}
        files.append(write_json(folder / RECORD, record))
    except FileError as error:
        raise UnsavedError(f"{error}; {UNSAVED}", result) from None
    return replace(result, record=record, path=folder, files=tuple(files))


def _draw(folder: Path, result: RunResult) -> list[Path]:
    """Draw the circuit, and the curve that it was chosen along if there is one; a picture that fails is left out, with
    a warning."""
    names = ["circuit.dot", "circuit.svg", *([CURVE] if "curve" in result.record["evidence"] else [])]
    files: list[Path] = []
    for name in names:
        try:
            files += _draw_curve(folder / name, result) if name == CURVE else draw(result.circuit, folder / name)
        except FileError:
            raise
        except Exception as error:  # hours of search are not lost for a picture
            logger.warning("%s could not be drawn: %s", name, error)
    return list(dict.fromkeys(files))


def _write_page(folder: Path, result: RunResult) -> list[Path]:
    """The page; left out, with a warning, if it fails."""
    try:
        return [write_run_page(result, folder)]
    except FileError:
        raise
    except Exception as error:  # hours of search are not lost for a page
        logger.warning("the page could not be written (acdc report writes it again): %s", error)
        return []


def _draw_curve(path: Path, result: RunResult) -> list[Path]:
    options = result.record["arguments"]["options"]
    wanted = FAITHFULNESS if options.get("faithfulness") is None else options["faithfulness"]
    points, n_edges = result.record["evidence"]["curve"], result.circuit.n_edges
    return [draw_selection(points, path, n_edges=n_edges, wanted=wanted, title=title(result.record))]
