"""The notebooks of `examples` run from top to bottom in a folder of their own, as they are shipped."""

from pathlib import Path

import pytest

from acdc.models.packaged import PACKAGED

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
OF_A_REAL_MODEL = (
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not PACKAGED["smollm2"].installed, reason=PACKAGED["smollm2"].command),
)


def _marked(path: Path) -> object:
    marks = OF_A_REAL_MODEL if "smollm2" in path.read_text(encoding="utf-8") else ()
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", map(_marked, NOTEBOOKS))
def test_a_notebook_runs_and_shows_its_results(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("text/html" in output.get("data", {}) for output in outputs), "results show themselves"
    told = [output.text for output in outputs if output.output_type == "stream"]
    assert not [text for text in told if "Warning" in text and "IProgress" not in text]  # that is of ipywidgets


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_shipped_without_outputs(path: Path) -> None:
    """So that a change of one is a change of its text."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
