"""The page of a run, made again from what its folder holds."""

from pathlib import Path

from acdc.evaluation.report import load_report
from acdc.files import as_dataclass, read_json
from acdc.interpret.explanation import Explanation
from acdc.report import Findings, write_page
from acdc.runs.evaluation_folder import REPORT
from acdc.runs.folders import EVALUATION
from acdc.runs.result import load_run
from acdc.runs.summary import title

__all__ = ["EXPLANATION", "PAGE", "page_of_run"]

PAGE, EXPLANATION = "report.html", "explanation.json"


def page_of_run(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a finished run from its files; of evaluation and explanation, what is there.

    Args:
        run: The run's folder.
        out: The file; by default `report.html` in the run's folder.

    Raises:
        RunError: There is no such run, or it isn't finished.
        FileError: A file of it is damaged, or the page can't be written.
    """
    result, folder = load_run(run), Path(run).expanduser()
    evaluation, explanation = folder / EVALUATION / REPORT, folder / EXPLANATION
    findings = Findings(
        circuit=result.circuit,
        title=title(result.record),
        record=result.record,
        metrics=result.metrics,
        evaluation=load_report(evaluation) if evaluation.exists() else None,
        explanation=_explanation(explanation) if explanation.exists() else None,
    )
    return write_page(folder / PAGE if out is None else Path(out).expanduser(), findings)


def _explanation(path: Path) -> Explanation:
    return as_dataclass(Explanation, read_json(path), what=f"{path} is no explanation, or is damaged")
