"""One command in several processes, on one or several machines, by torchrun; and how such a run ends.

The processes may also be started by the user's own torchrun or srun: each joins the others in
`slowfast_cli.engine.distributed`.
"""

import os
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, NoReturn

import typer

from slowfast_cli.types import LostError, SlowFastError, UsageError

FOLDER = "SLOWFAST_LAUNCH"  # folder in which the processes of a run leave files for their launcher
LAUNCHER = "SLOWFAST_LAUNCHER"  # process id of the launcher
# Otherwise torchrun keeps one store for all restarts, in which restarted processes find the addresses of dead ones.
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
# Seconds from Ctrl-C to SIGKILL: enough to finish a validation and save the state.
SHUTDOWN = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300"}
JOIN_TIMEOUT = 600  # seconds until the last node must have joined
REPORT_TIMEOUT = 30.0  # seconds that a process waits for another one's error message


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Options of commands that run in several processes."""

    gpus: Annotated[
        int, typer.Option(min=1, help="Processes on this machine, one per GPU; more than one starts torchrun.")
    ] = 1
    nodes: Annotated[int, typer.Option(min=1, help="Machines; run the same command on each.")] = 1
    rdzv_endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Rendezvous of several machines, on one of them.", show_default=False),
    ] = None
    max_restarts: Annotated[
        int, typer.Option(min=0, help="Restart all processes from the last checkpoint up to N times if one dies.")
    ] = 0

    def require(self) -> None:
        """Check that the number of nodes and the rendezvous go together.

        >>> Launch(nodes=2, rdzv_endpoint="node1:29500").require()

        Raises:
            UsageError: The endpoint is missing, not needed, or not HOST:PORT.
        """
        endpoint = self.rdzv_endpoint
        if self.nodes > 1 and endpoint is None:
            raise UsageError(f"--nodes {self.nodes}: needs --rdzv-endpoint HOST:PORT, HOST being one of the machines")
        if self.nodes == 1 and endpoint is not None:
            raise UsageError(f"--rdzv-endpoint {endpoint}: is for several machines: set their number with --nodes N")
        host, _, port = (endpoint or "any:1").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UsageError(
                f"--rdzv-endpoint {endpoint}: expected HOST:PORT, such as node1:29500: one of the machines, and a "
                "free port on it"
            )

    def start(self) -> None:
        """Restart the command in several processes, if more than one is wanted and this is not one of them.

        Raises:
            UsageError: The options do not go together.
            SlowFastError: There are fewer GPUs than processes.
        """
        self.require()
        if is_launched(os.environ) or (self.gpus == self.nodes == 1 and not self.max_restarts):
            return
        tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
        if tasks not in (1, self.nodes):  # one task per node may start processes; more are the processes
            raise UsageError(
                f"--gpus {self.gpus}: srun has started {tasks} processes already, which join each other: remove the "
                "option, or use srun --ntasks-per-node=1 with --nodes and --rdzv-endpoint"
            )
        torchrun(self)


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether this process is one of several, or was started by torchrun.

    >>> is_launched({"WORLD_SIZE": "1"}), is_launched({"WORLD_SIZE": "2"}), is_launched({"TORCHELASTIC_RUN_ID": "a"})
    (False, True, True)
    """
    return "TORCHELASTIC_RUN_ID" in environment or int(environment.get("WORLD_SIZE") or 1) > 1


def torchrun(options: Launch) -> NoReturn:
    """Run this command in several processes under torchrun, and exit with their code.

    Raises:
        SlowFastError: There are fewer GPUs than processes.
        LostError: The other machines did not join.
    """
    import torch
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    count = torch.cuda.device_count()
    if torch.cuda.is_available() and count < options.gpus:
        raise SlowFastError(f"--gpus {options.gpus}: this machine has {count}")
    words = sys.argv[1:]
    _silence_torchrun(words)
    # torchrun would take --run for its own option, but for the dashes.
    arguments = [
        *_rendezvous(options, words),
        f"--nproc-per-node={options.gpus}",
        f"--max-restarts={options.max_restarts}",
        *("-m", "--", "slowfast_cli", *words),
    ]
    with tempfile.TemporaryDirectory(prefix="slowfast-") as name:
        folder = Path(name)
        variables = {FOLDER: name, LAUNCHER: str(os.getpid()), **OWN_STORE, **SHUTDOWN}
        os.environ |= variables
        if options.nodes > 1:
            minutes = JOIN_TIMEOUT // 60
            sys.stderr.write(
                f"waiting for {options.nodes} machines at {options.rdzv_endpoint}, up to {minutes} minutes: type on "
                f"each of them: slowfast {shlex.join(words)}\n"
            )
            Thread(target=_report_machines, args=(options, _run_id(words)), daemon=True).start()
        try:
            run.run(run.parse_args(arguments))
        except ChildFailedError as error:
            rank, first = error.get_first_failure()
            _report_death(folder, rank, first.exitcode, options.max_restarts)
            sys.exit(_exit_code(folder, default=first.exitcode if first.exitcode > 0 else 1))
        except SignalException:  # from the user, or from a process that has reported an error
            _leave_rendezvous(options, words)
            sys.exit(_exit_code(folder, default=130))
        except RendezvousError as error:
            raise LostError(
                f"--rdzv-endpoint {options.rdzv_endpoint}: the {options.nodes} machines did not join, or one of them "
                "has ended: see its output; otherwise check that the same command runs on each and that all can reach "
                f"{options.rdzv_endpoint} ({type(error).__name__})"
            ) from error
        finally:
            for variable in variables:
                del os.environ[variable]
    sys.exit(0)


def _report_machines(options: Launch, run: str) -> None:
    """Register this machine at the rendezvous, and report which machines are there until all are."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host, _, port = (options.rdzv_endpoint or "").rpartition(":")
    count, end = f"slowfast/{run}", time.monotonic() + JOIN_TIMEOUT
    store: Any = None
    while store is None and time.monotonic() < end:
        with suppress(RuntimeError, OSError):  # nobody is there yet, of which TCPStore would warn
            time.sleep(1)
            socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
            store = TCPStore(host, int(port), is_master=False, wait_for_workers=False, timeout=timedelta(seconds=5))
    if store is None:
        return
    with suppress(RuntimeError):  # the run has ended
        store.set_timeout(timedelta(seconds=REPORT_TIMEOUT))
        store.set(f"{count}/{store.add(count, 1)}", f"{socket.gethostname()}:{os.getpid()}")
        present = 0
        while present < options.nodes:
            keys = [f"{count}/{number + 1}" for number in range(store.add(count, 0))]
            names = [store.get(key).decode() for key in keys if store.check([key])]  # `get` waits for a key
            if len(names) > present:
                present = len(names)
                sys.stderr.write(f"{present} of {options.nodes} machines are here: {', '.join(names)}\n")
            time.sleep(1)


def _silence_torchrun(words: list[str]) -> None:
    """Turn off torchrun's own messages about a failed process, which has reported its error already."""
    import logging

    for name in [*logging.root.manager.loggerDict] if "--debug" not in words else ():
        if name.startswith("torch.distributed"):  # each has its own level
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _report_death(folder: Path, rank: int, code: int, restarts: int) -> None:
    """Report that a process was killed, which could not say so itself."""
    if code < 0 and not (folder / "code").exists():
        after = f"after {restarts} restarts: " if restarts else ""
        sys.stderr.write(
            f"error: {after}process {rank} was killed by signal {-code} (9 often means out of memory): the same "
            "command resumes from the last checkpoint\n"
        )


def _rendezvous(options: Launch, words: list[str]) -> list[str]:
    """Arguments of torchrun that say which machines form one run."""
    if options.nodes == 1:
        return ["--standalone"]
    return [
        f"--nnodes={options.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={options.rdzv_endpoint}",
        f"--rdzv-id={_run_id(words)}",
        f"--rdzv-conf=join_timeout={JOIN_TIMEOUT},read_timeout={JOIN_TIMEOUT}",
    ]


def _run_id(words: list[str]) -> str:
    """Id of a command, so that two different ones at the same endpoint do not become one run."""
    return sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _leave_rendezvous(options: Launch, words: list[str]) -> None:
    """Tell the other machines not to wait for this one."""
    if options.nodes == 1 or options.rdzv_endpoint is None:
        return
    from torch.distributed.elastic.rendezvous import RendezvousError, RendezvousParameters, registry

    parameters = RendezvousParameters(
        "c10d", options.rdzv_endpoint, _run_id(words), options.nodes, options.nodes, is_host=False, read_timeout=5
    )
    with suppress(RendezvousError, RuntimeError):  # the machine of the endpoint has left
        registry.get_rendezvous_handler(parameters).shutdown()


def _exit_code(folder: Path, *, default: int) -> int:
    """The exit code that a process of the run has left."""
    try:
        return int((folder / "code").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return default


def report(error: Exception, code: int, show: Callable[[], None]) -> None:
    """Show an error in one process of the run, and end the run if a restart would only repeat it.

    The first process that fails claims the report, shows it, then writes the exit code for the launcher, and ends the
    run. The others wait until the code is there: if they exited earlier, torchrun would kill the first before it has
    shown anything. That another process is gone is shown only if nobody has claimed a report.
    """
    name = os.environ.get(FOLDER)
    if name is None:
        show()
        return
    folder, lost = Path(name), isinstance(error, LostError) or not isinstance(error, SlowFastError)
    claimed = folder / "claimed"
    if (lost and claimed.exists()) or not (lost or _claim(claimed)):
        deadline = time.monotonic() + REPORT_TIMEOUT
        while folder.exists() and not (folder / "code").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if not folder.exists() or (folder / "code").exists():
            return
    show()
    sys.stderr.flush()
    if not lost:
        temporary = folder / "code.tmp"
        with suppress(OSError):  # the run is over
            temporary.write_text(str(code), encoding="ascii")
            temporary.replace(folder / "code")
        if str(os.getppid()) == os.environ.get(LAUNCHER):  # not whoever adopted the children of a dead launcher
            os.kill(os.getppid(), signal.SIGTERM)


def _claim(path: Path) -> bool:
    try:
        with path.open("x"):
            return True
    except OSError:
        return False


def is_restart() -> bool:
    """Whether this process replaces one that had started: it then resumes, and ignores ``--fresh``."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return Path(folder, "started").exists()


def mark_started() -> None:
    """Record that the run has started, see `is_restart`."""
    if FOLDER in os.environ:
        with suppress(OSError):  # the run is over
            Path(os.environ[FOLDER], "started").touch()
