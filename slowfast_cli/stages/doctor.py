"""Check the installation and the machine; name the command that fixes each problem."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from slowfast_cli import __version__
from slowfast_cli.cores import usable_cores
from slowfast_cli.inference.choose import ENGINES, Engine
from slowfast_cli.stages import doctor_checks
from slowfast_cli.storage.atomic import free_bytes
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.download import default_cache

DISTRIBUTION = "slowfast-cli"

LOW_DISK = 2 * 2**30  # bytes: less than a shard and a checkpoint need


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Result of one check."""

    section: str
    name: str
    value: str
    problem: str = ""  # empty if there is none
    remedy: str = ""  # command or step that fixes the problem
    needed: bool = True  # False if the toolkit works despite the problem


@dataclass(frozen=True, kw_only=True)
class Report:
    """All facts, in display order."""

    facts: tuple[Fact, ...]

    @property
    def ok(self) -> bool:
        """Whether everything needed is installed and works."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[Fact, ...]:
        """Problems that prevent the toolkit from working."""
        return tuple(fact for fact in self.facts if fact.problem and fact.needed)

    @property
    def warnings(self) -> tuple[Fact, ...]:
        """Problems that the toolkit works despite of."""
        return tuple(fact for fact in self.facts if fact.problem and not fact.needed)


def examine(out: Path) -> Report:
    """Check the machine; takes a few seconds, uses no network and leaves no files.

    Args:
        out: Folder for shards and runs; it need not exist.
    """
    return Report(facts=(*_system(), *_packages(), *_torch(), *_engines(), *_decoders(), *_weights(), *_storage(out)))


def as_text(report: Report) -> str:
    """Format a report as a Markdown block to paste into an issue."""
    width = max(len(fact.name) for fact in report.facts)
    lines = ["```text", f"slowfast {__version__}: {'ready' if report.ok else 'NOT READY'}"]
    section = ""
    for fact in report.facts:
        if fact.section != section:
            section = fact.section
            lines.append(f"\n{section}")
        mark = " " if not fact.problem else "!" if fact.needed else "?"
        lines.append(f"{mark} {fact.name:<{width}}  {fact.value}".rstrip())
    lines.append("\nverdict")
    for fact in (*report.reasons, *report.warnings):
        lines.append(f"{'!' if fact.needed else '?'} {fact.name}: {fact.problem}")
        if fact.remedy:
            lines.append(f"    {fact.remedy}")
    if not report.reasons:
        lines.append("  ready: everything needed is installed and works")
    return "\n".join([*lines, "```"])


def as_dict(report: Report) -> dict[str, Any]:
    """Convert a report to plain values for JSON."""
    return {
        "slowfast": __version__,
        "ok": report.ok,
        "reasons": [f"{fact.name}: {fact.problem}; {fact.remedy}" for fact in report.reasons],
        "facts": [asdict(fact) for fact in report.facts],
    }


def _probe(
    section: str,
    name: str,
    check: Callable[[], str],
    remedy: str,
    *,
    needed: bool = True,
    failed: str = "does not work",
) -> Fact:
    """Run a check that returns a value or raises; any exception becomes the problem."""
    try:
        return Fact(section=section, name=name, value=check())
    except Exception as error:  # a broken installation can raise anything
        reason = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
        return Fact(section=section, name=name, value=failed, problem=reason, remedy=remedy, needed=needed)


def _system() -> Iterator[Fact]:
    old = sys.version_info < (3, 10)
    yield Fact(
        section="system",
        name="python",
        value=f"{platform.python_version()} ({sys.executable})",
        problem="older than 3.10" if old else "",
        remedy="install Python 3.10 or later, then: pip install slowfast-cli" if old else "",
    )
    yield Fact(section="system", name="platform", value=platform.platform())
    yield Fact(section="system", name="cores", value=f"{usable_cores()} usable of {os.cpu_count()}")
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(os.sysconf_names):
        yield Fact(
            section="system", name="memory", value=_size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        )


def _packages() -> Iterator[Fact]:
    """Compare installed versions with the declared dependencies."""
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Fact(
            section="packages",
            name=DISTRIBUTION,
            value=f"{__version__}, not installed",
            problem="not installed, so its dependencies are unknown",
            remedy="pip install .",
        )
        return
    for requirement in map(Requirement, declared):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Fact:
    name, remedy = requirement.name, f'pip install "{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Fact(section="packages", name=name, value="missing", problem="is not installed", remedy=remedy)
    if requirement.specifier.contains(version, prereleases=True):
        return Fact(section="packages", name=name, value=version)
    problem = f"{version} does not satisfy {requirement.specifier}"
    return Fact(section="packages", name=name, value=version, problem=problem, remedy=remedy)


def _torch() -> Iterator[Fact]:
    yield _probe("torch", "build", _torch_build, "pip install --force-reinstall torch")
    yield _probe("torch", "threads", lambda: str(doctor_checks.module("torch").get_num_threads()), "", needed=False)
    yield _gpu()
    yield _probe(
        "torch",
        "import torchaudio",
        lambda: str(doctor_checks.module("slowfast_cli.torchaudio_import").torchaudio.__version__),
        "pip install -c constraints.txt torch torchaudio",
        failed="does not import",
    )


def _torch_build() -> str:
    torch = doctor_checks.module("torch")
    cuda, cudnn = torch.version.cuda, torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    return f"{torch.__version__}, " + (f"CUDA {cuda}, cuDNN {cudnn}" if cuda else "without CUDA")


def _gpu() -> Fact:
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    try:
        cuda = doctor_checks.module("torch").cuda
        if cuda.is_available():
            gpus = [cuda.get_device_properties(index) for index in range(cuda.device_count())]
            value = "; ".join(f"{gpu.name}, {_size(gpu.total_memory)}" for gpu in gpus)
            return Fact(section="torch", name="gpu", value=value)
    except Exception as error:  # an incompatible driver raises on first use
        return Fact(
            section="torch",
            name="gpu",
            value="does not work",
            problem=str(error).split("\n", 1)[0][:200],
            remedy="update the NVIDIA driver, or install the torch build for your driver (pytorch.org)",
            needed=False,
        )
    problem = "an NVIDIA driver is installed, but this torch build cannot use it" if driver else ""
    remedy = "pip install --force-reinstall torch  (the CUDA build for your driver: pytorch.org)" if driver else ""
    return Fact(section="torch", name="gpu", value="none, CPU only", problem=problem, remedy=remedy, needed=False)


def _engines() -> Iterator[Fact]:
    """Inference engines besides PyTorch; none is needed."""
    for engine in ENGINES.values():
        if not engine.extra:
            continue
        if not engine.installed:
            value = f"not installed: pip install 'slowfast-cli[{engine.extra}]'"
            yield Fact(section="engines", name=engine.title, value=value)
            continue
        remedy = f"pip install --force-reinstall {engine.package}"
        yield _probe("engines", engine.title, partial(_engine, engine), remedy, needed=False)


def _engine(engine: Engine) -> str:
    doctor_checks.module(engine.package)
    if "bf16" not in engine.precisions:
        return engine.version
    return f"{engine.version}, bfloat16 {'in hardware' if engine.bf16_in_hardware() else 'emulated, which is slow'}"


def _decoders() -> Iterator[Fact]:
    reinstall = "pip install --force-reinstall soundfile"
    yield _probe("decoders", "libsndfile", doctor_checks.sndfile, reinstall)
    yield _probe("decoders", "wav", doctor_checks.try_wav, reinstall)
    reinstall = "pip install --force-reinstall av"
    yield _probe("decoders", "FFmpeg", doctor_checks.ffmpeg, reinstall)
    yield _probe("decoders", "aac in mp4", doctor_checks.try_aac, reinstall)
    remedy = "pip install -c constraints.txt --force-reinstall numpy scipy librosa torch"
    yield _probe("features", "log-mel", doctor_checks.try_front_end, remedy)


def _weights() -> Iterator[Fact]:
    yield _probe("weights", "default", _default_weights, "pip install --force-reinstall slowfast-cli", failed="missing")
    cache = default_cache()
    cached = [entry.name for entry in CATALOG.values() if (cache / entry.file).is_file()]
    yield Fact(section="weights", name="cache", value=f"{cache}: {', '.join(cached) or 'no official weights yet'}")


def _default_weights() -> str:
    path: Path = doctor_checks.module("slowfast_cli.weights.file").DEFAULT
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; `slowfast predict` needs --weights")
    return f"{path.name}, {_size(path.stat().st_size)}"


def _storage(out: Path) -> Iterator[Fact]:
    yield _probe("storage", "hdf5", doctor_checks.try_hdf5, "pip install --force-reinstall h5py")
    folder = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    free = free_bytes(folder)
    low = free < LOW_DISK
    yield Fact(
        section="storage",
        name="free disk",
        value=f"{_size(free)} at {folder}",
        problem=f"less than {_size(LOW_DISK)}" if low else "",
        remedy="free disk space, or choose another folder with --out" if low else "",
        needed=False,
    )
    yield _probe(
        "storage", "write test", lambda: doctor_checks.try_write(folder), "choose a writable folder with --out"
    )


def _size(count: float) -> str:
    """Format a number of bytes, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
