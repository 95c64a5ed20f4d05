"""What a user meets first: a light import, quick help, a complete package, a README that holds."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import acdc

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "pandas", "networkx", "scipy", "matplotlib", "huggingface_hub"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after `code`."""
    show = f"{code}\nimport sys, json; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(out.stdout.splitlines()[-1]))


def test_import_and_help_load_nothing_heavy() -> None:
    assert not modules_after("import acdc") & HEAVY
    assert not modules_after("from acdc.cli import main\nmain(['--help'])") & HEAVY
    assert "torch" in modules_after("import acdc; acdc.PatchableModel"), "the check can fail"


def test_every_public_name_is_there() -> None:
    assert all(getattr(acdc, name) is not None for name in acdc.__all__)
    assert set(dir(acdc)) == set(acdc.__all__)


def test_every_folder_of_modules_is_in_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in ROOT.glob("acdc/**/__init__.py")}
    assert {*folders, "acdc_tasks"} == set(settings)


def test_tasks_are_offered_by_entry_points() -> None:
    offered = {point.name: point.value for point in entry_points(group="acdc.tasks")}
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["acdc.tasks"]
    assert written.items() <= offered.items()


def test_readme_starts_with_the_two_lines_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [line.strip() for line in readme.splitlines() if line.startswith("    ")][:2] == [
        "pip install -c constraints.txt . && acdc discover ioi",
        'pip install -c constraints.txt -e ".[test]" && pytest',
    ]


def test_readme_and_docs_link_only_to_files_that_are_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_s_python_names_what_exists() -> None:
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "acdc":
                assert {alias.name for alias in node.names} <= set(acdc.__all__)
