"""The page of a run, made of what its folder holds, and made again when there is more."""

import logging
from pathlib import Path

from acdc.circuits.formats import read_circuit
from acdc.errors import ACDCError
from acdc.evaluation.report import load_report
from acdc.files import as_dataclass, read_json
from acdc.interpret.explanation import Explanation
from acdc.report import Findings, write_page
from acdc.runs.evaluation_folder import REPORT
from acdc.runs.folders import EVALUATION, RECORD
from acdc.runs.prompt_file import PROMPTS, read_cards
from acdc.runs.result import RunResult, load_run
from acdc.runs.summary import title

__all__ = ["EXPLANATION", "PAGE", "page_of_file", "page_of_run", "refresh_page", "write_run_page"]

logger = logging.getLogger(__name__)


PAGE, EXPLANATION = "report.html", "explanation.json"
MOST_PROMPTS = 20  # of each side


def page_of_run(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a finished run from its files; of evaluation and explanation, what is there.

    Args:
        run: The run's folder.
        out: The file; by default `report.html` in the run's folder.

    Raises:
        RunError: There is no such run, or it isn't finished.
        FileError: A file of it is damaged, or the page can't be written.
    """
    folder = Path(run).expanduser()
    return write_run_page(load_run(folder), folder, out)


def page_of_file(circuit: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a circuit's file alone, in any format that says its shape; by default beside it, as `.html`.

    Raises:
        CircuitError: It can't be read.
        FileError: The page can't be written.
    """
    path = Path(circuit).expanduser()
    found = read_circuit(path)
    title = found.origin or path.name
    return write_page(path.with_suffix(".html") if out is None else Path(out).expanduser(), Findings(found, title))


def refresh_page(run: Path) -> None:
    """Write the page again if the folder is a run's that has one; that it can't be written is told as a warning."""
    if not ((run / RECORD).is_file() and (run / PAGE).is_file()):
        return
    try:
        page_of_run(run)
    except ACDCError as error:  # the page can be made again at any time
        logger.warning("%s shows what was known before: %s", run / PAGE, error)


def write_run_page(result: RunResult, folder: Path, out: str | Path | None = None) -> Path:
    """Write the page of a result whose circuit and prompts lie in `folder`; see `page_of_run`."""
    evaluation, explanation = folder / EVALUATION / REPORT, folder / EXPLANATION
    findings = Findings(
        circuit=result.circuit,
        title=title(result.record),
        record=result.record,
        metrics=result.metrics,
        evaluation=load_report(evaluation) if evaluation.exists() else None,
        explanation=_explanation(explanation) if explanation.exists() else None,
        prompts=read_cards(folder / PROMPTS, MOST_PROMPTS),
    )
    return write_page(folder / PAGE if out is None else Path(out).expanduser(), findings)


def _explanation(path: Path) -> Explanation:
    return as_dataclass(Explanation, read_json(path), what=f"{path} is no explanation, or is damaged")
