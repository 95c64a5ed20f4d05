"""A module imports only from floors below its own, and siblings never import each other."""

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1] / "acdc"
FLOORS = [  # from the ground up; names in one group are siblings
    ["errors", "version"],
    ["progress", "ranks", "registry"],
    ["files", "options"],
    ["circuits", "prompts", "zoo"],
    ["metrics"],
    ["models"],
    ["task", "patching"],
    ["discovery", "evaluation"],
    ["interpret"],
    ["features"],
    ["drawing"],
    ["report"],
    ["runs"],
    ["benchmarking"],
    ["cli"],
    ["__main__"],
]
FLOOR = {name: floor for floor, group in enumerate(FLOORS) for name in group}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def part_of(path: Path) -> str:
    """The module or package under `acdc` that a file belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """The parts of `acdc` that a file imports, at its top or inside a function; not those for type checkers only."""
    found, tree = set(), ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "acdc":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module.split(".")[1]} if (node.module or "").startswith("acdc.") else set()
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("acdc.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports_go_down(path: Path) -> None:
    here = part_of(path)
    assert here in FLOOR, f"{here} has no floor yet"
    for there in imported(path) - {here}:
        assert there in FLOOR, f"{there} has no floor yet"
        assert FLOOR[there] < FLOOR[here], f"{here} imports {there}, which is not below it"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not within a room either."""
    found = nx.DiGraph()
    for path in FILES:
        here = ".".join(("acdc", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("acdc.") and node.col_offset == 0:
                found.add_edge(here, node.module)
    found.remove_edges_from(list(nx.selfloop_edges(found)))  # a package that imports its own modules
    assert not list(nx.simple_cycles(found))


def test_the_engine_never_imports_the_built_in_tasks() -> None:
    assert not [path for path in ROOT.rglob("*.py") if "acdc_tasks" in path.read_text(encoding="utf-8")]
