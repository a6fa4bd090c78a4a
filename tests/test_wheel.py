"""The wheel by itself: built, installed in an empty environment, and used far from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import tiny
import torch

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import bundled
from slowfast_cli.weights.file import DEFAULT, Card, save

ROOT = Path(__file__).parents[1]
LABELS = sorted(path.name for path in (ROOT / "slowfast_cli" / "corpora" / "labels").iterdir())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """Run a command of the installed wheel; its dependencies are those of this environment."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    # A path in a .pth file is not searched for .pth files: an editable install of the checkout stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cwd = tmp_path_factory.mktemp("elsewhere")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words, command=home / "bin" / "slowfast"):
        return subprocess.run(
            [str(command), *map(str, words)],
            capture_output=True, text=True, check=False, cwd=cwd, env={**kept, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    where = run("-c", "import slowfast_cli; print(slowfast_cli.__file__)", command=python).stdout
    assert where.startswith(str(home))
    return run


def test_it_carries_recipes_labels_and_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in bundled():
        assert f"slowfast_cli/recipes/{name}.yaml" in names
    for name in LABELS:
        assert f"slowfast_cli/corpora/labels/{name}" in names
    assert "slowfast_cli/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "recipes/")) or "__pycache__" in name for name in names)
    assert wheel.stat().st_size < 8e6


@pytest.mark.skipif(not DEFAULT.is_file(), reason="the default weights are not built yet")
def test_it_carries_the_default_model(wheel):
    with zipfile.ZipFile(wheel) as file:
        assert file.getinfo("slowfast_cli/weights/default.safetensors").file_size < 4e6


def test_commands_work_outside_the_checkout(program):
    assert "Usage: slowfast" in program("--help").stdout
    assert program("--version").stdout.startswith("slowfast ")
    listed = program("recipes", "ls")
    assert all(name in listed.stdout for name in bundled())
    checked = program("recipes", "validate", "vggsound")
    assert (checked.returncode, "valid" in checked.stdout) == (0, True)
    begun = program("train", "vggsound")  # by name: what is missing is the data
    assert begun.returncode == 3
    assert "vggsound expects" in begun.stderr
    assert "--root" in begun.stderr
    assert "ready" in program("doctor").stdout.lower()


def test_it_predicts_outside_the_checkout(program, tmp_path):
    clip = Path(shutil.copyfile(tiny.DATA / "rain.wav", tmp_path / "clip.wav"))
    net = with_width(VARIANTS["asf-r50"], 8)
    card = Card(net=net, classes={"label": ("a", "b")}, front_end=tiny.FRONT_END, clip_seconds=0.6)
    torch.manual_seed(0)
    save(tmp_path / "tiny.safetensors", card.model().state_dict(), card)
    done = program("predict", clip, "-w", tmp_path / "tiny.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") == 2
    if DEFAULT.is_file():
        done = program("predict", clip)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("%") == 5
