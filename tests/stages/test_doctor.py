"""The doctor on this machine, and on machines that lack something."""

import json
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from slowfast_cli.stages import doctor, doctor_checks
from slowfast_cli.stages.doctor import Fact, Report, as_dict, as_text, examine


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return examine(tmp_path_factory.mktemp("out") / "not" / "yet")


def fact(report, name):
    return next(f for f in report.facts if f.name == name)


def without(monkeypatch, *gone, **replaced):
    """Make modules fail to import, or be something else."""
    real = doctor_checks.module

    def load(name):
        if name in gone:
            raise ImportError(f"No module named {name!r}")
        return replaced.get(name) or real(name)

    monkeypatch.setattr(doctor_checks, "module", load)


def test_this_machine_is_fine_but_perhaps_for_the_default_weights(report):
    assert {f.name for f in report.reasons} <= {"default"}
    for name in ("wav", "aac in mp4"):
        assert fact(report, name).value == "decodes"
    assert fact(report, "import torchaudio").value.startswith("2.")
    assert "writes and reads" in fact(report, "hdf5").value


def test_every_dependency_is_listed(report):
    listed = {f.name for f in report.facts if f.section == "packages"}
    assert {"torch", "torchaudio", "h5py", "av", "soundfile", "pydantic", "matplotlib"} <= listed
    assert not listed & {"pytest", "mypy", "tensorboard"}  # extras


def test_nothing_is_left_behind(tmp_path):
    examine(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_text_and_dict(report):
    text = as_text(report)
    assert text.startswith("```text\nslowfast ")
    assert text.endswith("\n```")
    assert text.count("```") == 2
    for f in report.facts:
        assert f.name in text
    document = json.loads(json.dumps(as_dict(report)))
    assert document["ok"] is report.ok
    assert len(document["facts"]) == len(report.facts)


def test_a_missing_package_is_not_ok(monkeypatch, tmp_path):
    real = metadata.version

    def version(name):
        if name == "av":
            raise metadata.PackageNotFoundError(name)
        return "2.3.1" if name == "torch" else real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    without(monkeypatch, "av")
    got = examine(tmp_path)
    assert not got.ok
    assert {"av", "torch", "FFmpeg", "aac in mp4"} <= {f.name for f in got.reasons}
    assert fact(got, "av").remedy == 'pip install "av>=17.1"'
    assert fact(got, "torch").problem == "2.3.1 does not satisfy >=2.11"
    text = as_text(got)
    assert "NOT READY" in text
    assert '    pip install "av>=17.1"' in text
    assert "pip install --force-reinstall av" in text
    assert any('pip install "av>=17.1"' in reason for reason in as_dict(got)["reasons"])


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("soundfile", {"libsndfile", "wav"}),
        ("h5py", {"hdf5"}),
        ("torch", {"build"}),
        ("slowfast_cli.torchaudio_import", {"import torchaudio"}),
        ("numpy", {"wav", "aac in mp4", "hdf5"}),
    ],
)
def test_each_broken_library_is_named(monkeypatch, tmp_path, module, names):
    without(monkeypatch, module)
    got = examine(tmp_path)
    assert names <= {f.name for f in got.reasons}
    assert all(f.remedy.startswith("pip install") for f in got.reasons if f.name != "default")


def test_a_decoder_that_decodes_wrongly(monkeypatch, tmp_path):
    wrong = SimpleNamespace(
        write=lambda *a, **k: None,
        read=lambda *a, **k: (np.zeros(8000), 16000),
        available_formats=lambda: {"WAV"},
        __libsndfile_version__="1.0",
    )
    without(monkeypatch, soundfile=wrong)
    got = examine(tmp_path)
    assert fact(got, "wav").problem == "decoded samples differ from those written"
    assert "without AIFF, FLAC, MP3, OGG" in fact(got, "libsndfile").value


def test_gpus_are_listed(monkeypatch, tmp_path):
    gpu = SimpleNamespace(name="NVIDIA H200", total_memory=139 * 2**30)
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2, get_device_properties=lambda i: gpu)
    without(monkeypatch, torch=SimpleNamespace(cuda=cuda))
    assert doctor._gpu().value == "NVIDIA H200, 139.0 GiB; NVIDIA H200, 139.0 GiB"


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch):
    without(monkeypatch, torch=SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    got = Report(facts=(doctor._gpu(),))
    assert got.ok
    assert "cannot use it" in got.warnings[0].problem
    assert "? gpu" in as_text(got)


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    got = examine(tmp_path / "file")
    assert "is a file" in fact(got, "write test").problem
    assert not got.ok


def test_out_that_cannot_be_written(monkeypatch, tmp_path):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_checks.tempfile, "TemporaryFile", refuse)
    found = fact(examine(tmp_path), "write test")
    assert "Permission denied" in found.problem
    assert "--out" in found.remedy


def test_little_disk_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    found = fact(examine(tmp_path), "free disk")
    assert found.problem == "less than 2.0 GiB"
    assert not found.needed


def test_default_weights(monkeypatch, tmp_path):
    without(monkeypatch, **{"slowfast_cli.weights.file": SimpleNamespace(DEFAULT=tmp_path / "default.safetensors")})
    assert "does not exist" in fact(examine(tmp_path), "default").problem
    (tmp_path / "default.safetensors").write_bytes(bytes(3 * 2**20))
    assert fact(examine(tmp_path), "default").value == "default.safetensors, 3 MiB"


def test_cached_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    (tmp_path / "SLOWFAST_VGG.pyth").write_bytes(b"x")
    assert fact(examine(tmp_path), "cache").value == f"{tmp_path}: asf-vggsound"


def test_not_installed(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", requires)
    assert [f.remedy for f in doctor._packages()] == ["pip install ."]


@pytest.mark.parametrize(
    ("version", "least", "old"), [("2.13.0+cpu", "2.11", False), ("2.9.1", "2.11", True), ("14", "14", False)]
)
def test_versions_compare_by_number(monkeypatch, version, least, old):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: version)
    assert bool(doctor._package(doctor.Requirement(f"x>={least}")).problem) is old


def test_a_ready_report_says_so():
    got = Report(facts=(Fact(section="system", name="python", value="3.12"),))
    assert got.ok
    assert "ready: everything needed" in as_text(got)
