"""Execution of a page in a scratch folder: every command as a reader types it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from docs.compare import difference
from docs.page import ROOT, Block
from docs.page import read as read_page
from docs.setups import SETUPS

HOME = "/home/me"  # how pages write the scratch folder
NOWHERE = "http://127.0.0.1:9"  # a proxy that refuses every connection: pages are tested without a network
WARM = Path(__file__).with_name("warm.py")
WARM_FROM = 4  # commands of a page
SECONDS = 900  # per command


def run_page(text: str, scratch: Path) -> None:
    """Execute the blocks of a page in order; each may use what earlier ones made.

    Raises:
        AssertionError: A command ends with another exit code or output than the page says.
    """
    page = read_page(text)
    for name in ("repo", *page.setups):
        SETUPS[name](scratch)
    environment = make_environment(scratch)
    blocks = [block for block in page.blocks if block.is_executed]
    with _warm(blocks, scratch, environment):
        for block in blocks:
            _run(block, scratch, environment)


@contextmanager
def _warm(blocks: Sequence[Block], scratch: Path, environment: dict[str, str]) -> Iterator[None]:
    """Let the commands of a page with many of them start from one warm process, see `docs.warm`."""
    commands = sum(
        line.removeprefix("$ ").startswith("slowfast ") for block in blocks for line in block.text.split("\n")
    )
    if commands < WARM_FROM:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need
        place = Path(folder) / "socket"
        program = scratch / ".bin" / "slowfast"
        cold = program.read_text()
        with subprocess.Popen([sys.executable, WARM, "serve", place], env=environment, cwd=scratch) as server:
            while not place.exists():
                time.sleep(0.05)
            warm = f'exec "{sys.executable}" -S "{WARM}" run "{place}" "$@"'
            program.write_text(cold.replace("exec", f'case "$1" in serve) ;; *) {warm} ;; esac\nexec', 1))
            try:
                yield
            finally:
                server.kill()


def _run(block: Block, scratch: Path, environment: dict[str, str]) -> None:
    steps = block.steps
    for number, (command, shown) in enumerate(steps, 1):
        words = [sys.executable, "-c"] if block.language == "python" else ["bash", "-e", "-o", "pipefail", "-c"]
        done = subprocess.run(
            [*words, block.shortened(command)],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        output = done.stdout.decode(errors="replace").replace(str(scratch), HOME)
        expected = block.exit_code if number == len(steps) else 0
        where = f"line {block.line}: {command.strip()}"
        assert done.returncode == expected, f"{where}\nexit code {done.returncode}, expected {expected}\n{output}"
        if shown and block.has_stable_output:
            diff = difference(shown, output)
            assert not diff, f"{where}\n{diff}\n\nthe whole output:\n{output}"


def make_environment(scratch: Path) -> dict[str, str]:
    """Set the variables of the commands, without settings, caches or network of whoever runs the test."""
    programs = scratch / ".bin"
    programs.mkdir()
    for name, start in {"slowfast": "-m slowfast_cli", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLOWFAST_")}
    proxies = {f"{kind}_proxy": NOWHERE for kind in ("http", "https", "all")}
    return {
        **kept,
        **proxies,
        **{name.upper(): value for name, value in proxies.items()},
        "no_proxy": "",
        "NO_PROXY": "",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(scratch),
        "XDG_CACHE_HOME": str(scratch / ".cache"),
        "SLOWFAST_CACHE": str(scratch / ".cache" / "slowfast"),
        "SLOWFAST_CONFIG": str(scratch / ".config" / "slowfast"),
        "MPLCONFIGDIR": matplotlib.get_configdir(),  # its list of fonts takes seconds to make
        "PYTHONPATH": str(ROOT),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # stdout and stderr in the order of a terminal
        "COLUMNS": "100",
        "PYTHONIOENCODING": "utf-8",
    }
