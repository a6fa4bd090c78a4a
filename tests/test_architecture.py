"""Imports only go down, files stay short, names say something, and nothing points at a workplace."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "slowfast_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
MAY_IMPORT = {
    "types": {"errors"},
    "remote": {"types"},
    "recipe": {"types", "remote"},
    "nn": {"types"},
    "media": {"types", "remote", "places"},
    "features": {"types", "torchaudio_import"},
    "metrics": {"types"},
    "models": {"nn", "types", "torchaudio_import"},
    "data": {"media", "features", "types"},
    "weights": {"models", "metrics", "types"},
    "plots": {"models", "metrics", "types"},
    "tasks": {"models", "metrics", "features", "types"},
    "engine": {"tasks", "data", "types", "nn", "remote"},
    "stages": {
        "recipe",
        "nn",
        "media",
        "features",
        "metrics",
        "models",
        "data",
        "weights",
        "plots",
        "tasks",
        "engine",
        "types",
        "remote",
    },
    "cli": {"stages", "recipe", "types", "engine", "weights", "remote", "places"},
}


def layer(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slowfast_cli."):
            found.add(node.module.split(".")[1])
    return found


def test_there_are_files():
    assert len(FILES) > 50


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.parent != PACKAGE or path.stem == "types"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_only_go_down(path):
    own = layer(path)
    assert imported(path) - {own} <= MAY_IMPORT[own]


@pytest.mark.parametrize("package", ["torchaudio", "transformers"])
def test_what_does_not_always_import_is_imported_in_one_file_only(package):
    where = [
        path.name
        for path in FILES
        if re.search(rf"^\s*(import|from) {package}\b|import_module\(\"{package}\b", path.read_text(), re.M)
    ]
    assert where == [f"{package}_import.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short_and_name_their_content(path):
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in {"utils", "util", "helper", "helpers", "misc", "common"}


def test_there_are_no_asserts_and_no_inheritance_of_implementation():
    bases = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert), path
            if isinstance(node, ast.ClassDef):
                bases |= {ast.unparse(base) for base in node.bases}
    assert bases <= {
        "nn.Module", "Dataset[Clip]", "Exception", "Protocol", "BaseModel", "NamedTuple", "Section", "SlowFastError",
        "SlowFastError, TimeoutError", "DataError", "HTMLParser", "io.RawIOBase", "pickle.Unpickler",
        "Sequence[Segment]", "Sequence[T]", "Generic[S, T]",
    }  # fmt: skip


def test_nothing_below_the_stages_takes_a_config():
    for path in FILES:
        if layer(path) in {"stages", "cli", "recipe"} or path.parent == PACKAGE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
                assert not names & {"cfg", "config", "recipe", "args"}, f"{path}: {node.name}"


def test_the_help_needs_no_heavy_import():
    import subprocess
    import sys

    heavy = ("torch", "numpy", "av", "h5py", "pydantic", "matplotlib", "sklearn")
    code = f"import sys; import slowfast_cli.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
