"""The rooms of the code: what is below imports nothing of what is above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# from the ground up; a room may import those on its own line and on the lines above it
ROOMS = [
    {
        "errors",
        "atomic_files",
        "json_files",
        "cores",
        "lines",
        "memory",
        "package",
        "parallel",
        "progress",
        "ranks",
        "signals",
        "rules",
        "__init__",
    },
    {"data.problems", "data.reading"},
    {"networks", "losses", "inferers", "metrics", "data.lists", "data.batches", "data.__init__", "transforms"},
    {"optimizers", "runs"},
    {"preflight"},
    {"handlers", "reports"},  # report handlers follow the run's, and TensorBoard shows the reports' pictures
]


def room_of(module: str) -> str:
    """`medbundles.data.lists.folds` -> `data.lists`."""
    parts = module.split(".")[1:]
    if not parts:
        return "__init__"
    if parts[0] == "data":
        return ".".join(parts[:2]) if len(parts) > 1 else "data.__init__"
    return parts[0]


def imports(path: Path) -> set[str]:
    """The modules of this project that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= (
                {f"medbundles.{name.name}" for name in node.names} if node.module == "medbundles" else {node.module}
            )
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.split(".")[0] in ("medbundles", "tools", "tests")}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted((ROOT / "shared/medbundles").rglob("*.py")):
        parts = path.relative_to(ROOT / "shared").with_suffix("").parts
        found.append((".".join(parts), path))
    return found


def height(room: str) -> int:
    found = [number for number, rooms in enumerate(ROOMS) if room in rooms]
    assert found, f"{room} stands in no line of ROOMS"
    return found[0]


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_room_imports_nothing_from_above(module, path):
    mine = height(room_of(module))
    above = [name for name in imports(path) if not name.startswith("medbundles") or height(room_of(name)) > mine]
    assert not above, f"{module} imports {', '.join(sorted(above))}"


@pytest.mark.parametrize("path", sorted((ROOT / "tools").rglob("*.py")), ids=lambda path: path.stem)
def test_tools_import_no_tests(path):
    assert not [name for name in imports(path) if name.startswith("tests")]
