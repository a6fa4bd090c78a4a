"""Imports go down only, files stay short, names say something, and the prose is plain."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "slowfast_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
BASE = {"types", "settings", "storage", "cores"}
BELOW_BUILD = {"nn", "media", "features", "metrics", "models", "tasks", "shards", "corpora", "data", "engine"}
BELOW_BUILD |= {"weights", "plots", "events", "report"}
# A name stands for itself and everything below it: `corpora` allows `corpora.labels`.
MAY_IMPORT = {
    "errors": set(),
    "suffixes": set(),
    "cores": set(),
    "types": {"errors", "suffixes"},
    "settings": {"types"},
    "torchaudio_import": set(),
    "storage": {"types"},
    "nn": {"types"},
    "metrics": {"types"},
    "media": {"storage", "types"},
    "events": {"types"},
    "features": {*BASE, "torchaudio_import"},
    "recipe": BASE,
    "models": {"nn", "types", "torchaudio_import"},
    "tasks": {"models", "nn", "settings", "types"},
    "shards": {"media", "storage", "types"},
    "corpora": {"media", "storage", "types"},
    "data": {*BASE, "corpora", "shards", "media", "features"},
    "engine": {"tasks", "nn", "storage", "types"},
    "plots": {"metrics", "models", "types"},
    "report": {"media", "features", "settings", "storage", "types", "__init__"},
    "weights": {*BASE, "models", "corpora.labels", "features"},
    "inference": {*BASE, "models", "weights", "features"},
    "build": {*BASE, *BELOW_BUILD, "recipe"},
    "stages": {*BASE, *BELOW_BUILD, "recipe", "build", "inference"},
    "cli": {*BASE, "stages", "build", "recipe", "weights", "metrics.registry", "metrics.table", "events"}
    | {"inference", "engine.distributed", "engine.fit", "engine.stop_signal"},
    "adapters": {*BASE, "stages", "weights", "models", "features"},
    "api": {*BASE, "stages", "build", "recipe", "weights", "media", "models", "features"},
    "__init__": {"api", "features", "media", "settings", "stages", "version", "weights"},
    "__main__": {"cli", "light"},
    "light": {*BASE, "inference", "stages.predict"},
}
# Between commands.
STAGES_MAY_IMPORT = {
    "ablate": {"hares", "train", "evaluate"},
    "hares": {"train", "evaluate"},
    "search": {"embed"},
    "serve": {"predict"},
    "export": {"predict"},
    "doctor": {"doctor_checks"},
    "runs": {"train"},
    "bench": {"predict", "train"},
}
# The old dialect: words that mean something else to everybody, riddles, sentences that hide who acts.
REFUSED = re.compile(
    r"\btold\b(?!.*(?:pretext_top1|was renamed))"
    r"|\bholds? together\b|\bright is\b|\bso many\b|\bgoes on where\b|\bgone on with\b|\bas ever\b|\bworked off\b"
    r"|\bleave word\b|\bbegun anew\b|\bof the user's\b|\bis asked of\b|\babreast\b",
    re.IGNORECASE,
)
RIDDLE = re.compile(r"^What (?:is|was|are|were) (?:\w+\s?){1,3}\.$")  # "What is kept." as a whole docstring
TEXTS = [
    *FILES,
    *sorted((ROOT / "recipes").rglob("*.yaml")),
    *(path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """Modules of the package that a file imports, as dotted names below the package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slowfast_cli"):
            module = node.module.removeprefix("slowfast_cli").lstrip(".")
            folder = PACKAGE / module.replace(".", "/")
            below = [f"{module}.{alias.name}".lstrip(".") for alias in node.names] if folder.is_dir() else [module]
            names |= {
                name for name in below if (PACKAGE / name.replace(".", "/")).with_suffix(".py").is_file() or module
            }
    return names


def allowed(name, permitted):
    return any(name == each or name.startswith(f"{each}.") for each in permitted)


def test_there_are_files():
    assert len(FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_only_go_down(path):
    own, *rest = name_of(path).split(".")
    above = {name for name in imports(path) if name.split(".")[0] != own}
    assert {name for name in above if not allowed(name, MAY_IMPORT[own])} == set()
    if own == "stages" and rest != ["__init__"]:
        commands = {name.split(".")[1] for name in imports(path) if name.startswith("stages.")}
        assert commands - {rest[0]} <= STAGES_MAY_IMPORT.get(rest[0], set())


def test_only_build_looks_up_what_a_recipe_names():
    """Stages and commands may read values of a recipe; registries are imported in build/ and below only."""
    registries = {"corpora.registry", "tasks.registry", "models.zoo", "models.baselines.zoo", "features.front_ends"}
    users = {name_of(path) for path in FILES if imports(path) & registries}
    assert {name.split(".")[0] for name in users} <= {
        "api",
        "build",
        "tasks",
        "models",
        "weights",
        "features",
        "stages",
        "adapters",
    }
    # Extraction and prediction have no recipe: they make the front end of stored settings.
    assert {name for name in users if name.startswith("stages.")} <= {
        "stages.extract.estimate",
        "stages.extract.worker",
        "stages.predict.sound_scorer",
    }


@pytest.mark.parametrize("package", ["torchaudio", "transformers", "librosa", "fcntl"])
def test_what_does_not_always_import_is_imported_in_one_file_only(package):
    where = [
        name_of(path)
        for path in FILES
        if re.search(rf"^\s*(import|from) {package}\b|import_module\(\"{package}\b", path.read_text(), re.MULTILINE)
    ]
    files = {"fcntl": {"storage.lock"}, "librosa": {"plots.feature_maps", "stages.doctor_checks"}}
    assert set(where) <= files.get(package, {f"{package}_import", f"models.baselines.{package}_import"})
    assert where


@pytest.mark.parametrize("path", FILES, ids=name_of)
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
    allowed_bases = {"nn.Module", "Dataset[Clip]", "Exception", "Protocol", "BaseModel", "NamedTuple", "Section"}
    allowed_bases |= {
        "SlowFastError",
        "SlowFastError, TimeoutError",
        "DataError",
        "BrokenMediaError",
        "HTMLParser",
        "io.RawIOBase",
        "AbsEncoder",
        "TorchDispatchMode",
    }
    allowed_bases |= {"pickle.Unpickler", "Sequence[Segment]", "Sequence[T]", "Generic[S, T]", "Generic[A]"}
    assert bases <= allowed_bases


def test_nothing_below_build_takes_a_config():
    for path in FILES:
        if name_of(path).split(".")[0] in {"build", "stages", "cli", "recipe", "api"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
                assert not names & {"cfg", "config", "recipe", "args"} or name_of(path) == "engine.fit", node.name


def test_the_help_needs_no_heavy_import():
    heavy = ("torch", "numpy", "av", "h5py", "pydantic", "matplotlib", "sklearn")
    code = f"import sys; import slowfast_cli.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_prose_is_plain(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    assert [f"{number}: {line.strip()}" for number, line in lines if REFUSED.search(line)] == []
    if path.suffix == ".py":
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        trees = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
        assert [text for node in trees if RIDDLE.match(text := (ast.get_docstring(node) or ""))] == []
