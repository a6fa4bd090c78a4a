"""What is published beside the code agrees with it."""

import re
from pathlib import Path

import yaml

import slowfast_cli

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
CI = (ROOT / ".ci" / "run").read_text()


def test_the_distribution_has_its_own_name():
    assert 'name = "slowfast-cli"' in PROJECT
    assert 'slowfast = "slowfast_cli.__main__:main"' in PROJECT


def test_every_dependency_has_a_tested_version():
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    block = PROJECT[PROJECT.index("dependencies = [") : PROJECT.index("[project.optional-dependencies]")]
    declared = {name.lower() for name in re.findall(r'^    "([\w-]+)', block, re.MULTILINE)}
    assert len(declared) > 15
    assert declared - pinned == set()


def test_the_citation_names_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == slowfast_cli.__version__


def test_ci_runs_what_the_readme_says():
    install, test = "pip install -c constraints.txt -e '.[dev]'", "python -m pytest -n auto"
    readme = (ROOT / "README.md").read_text()
    assert f"{install} && {test}" in readme
    assert install.replace("pip install", "pip install -q").replace("dev", "dev,docs") in CI
    assert "mkdocs build -q --strict" in CI
    assert f"\n{test}\n" in CI


def test_the_workflow_covers_all_systems_and_calls_ci():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert any(step.get("run") == "bash .ci/run" for step in jobs["full"]["steps"])
    matrix = jobs["platforms"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == re.findall(r"Python :: (3\.\d+)", PROJECT)


def test_the_dockerfile_copies_what_exists():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert len(copied) == 6
    assert all((ROOT / name).exists() for name in copied)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == kept
    assert [line for line in lines if line.startswith("USER ")] == ["USER slowfast"]


def test_unix_modules_are_imported_behind_a_guard():
    text = (ROOT / "slowfast_cli" / "storage" / "lock.py").read_text()
    assert re.search(r"try:\n\s+import fcntl\b[^\n]*\n\s*except ImportError", text)
