"""Execution of a page in a scratch folder: every command as a reader types it."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
from docs.compare import difference
from docs.page import ROOT, Block
from docs.page import read as read_page
from docs.setups import SETUPS

HOME = "/home/me"  # how pages write the scratch folder
NOWHERE = "http://127.0.0.1:9"  # a proxy that refuses every connection: pages are tested without a network
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
    for block in page.blocks:
        if block.is_executed:
            _run(block, scratch, environment)


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
