"""The scripts in tests/benchmarks, which nobody runs every day, can be started; mypy checks the names that they use."""

import ast
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
OTHERS = {"cv2", "decord", "soxr"}  # programs to compare with, which are not dependencies


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_modules_exist(path):
    tree = ast.walk(ast.parse(path.read_text()))
    names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    missing = {name for name in names if not (FOLDER / f"{name}.py").is_file()} - OTHERS
    assert {name for name in missing if importlib.util.find_spec(name) is None} == set()
