"""One command in many processes: on this machine or on several, by torchrun; and how such a run ends as one.

What started the processes, torchrun here, the user's own torchrun or srun, does not matter to the commands: each
process joins the others in `slowfast_cli.engine.distributed`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from slowfast_cli.types import LostError, SlowFastError, UsageError

FOLDER = "SLOWFAST_LAUNCH"  # names the folder in which the processes of a run leave word for what started them
# Else torchrun keeps one store for all starts, in which those that start again find the addresses of the dead.
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
LAUNCHER = "SLOWFAST_LAUNCHER"  # its process: the parent of those that it has started, as long as it lives
# Seconds from Ctrl-C to SIGKILL: a validation ends first, and the state is saved.
UNHURRIED = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300"}
PATIENCE = 600  # seconds until the last node has to be there


def launch_processes(gpus: int, nodes: int = 1, meet: str | None = None, restarts: int = 0) -> None:
    """Start over in several processes, where more than one is asked for and this is not one of them.

    Args:
        gpus: Processes on this machine.
        nodes: Machines.
        meet: ``HOST:PORT`` of one of them.
        restarts: How often all processes are started again after one has died.

    Raises:
        UsageError: These do not go together.
        SlowFastError: There are fewer GPUs than that.
    """
    require(nodes, meet)
    if launched(os.environ) or (gpus == nodes == 1 and not restarts):
        return
    _refuse_under_srun(gpus, nodes, os.environ)
    torchrun(gpus, nodes, meet, restarts)


def launched(environment: Mapping[str, str]) -> bool:
    """Whether this process is one of several, or was started by torchrun.

    >>> launched({"WORLD_SIZE": "1"}), launched({"WORLD_SIZE": "2"}), launched({"TORCHELASTIC_RUN_ID": "a"})
    (False, True, True)
    """
    return "TORCHELASTIC_RUN_ID" in environment or int(environment.get("WORLD_SIZE") or 1) > 1


def require(nodes: int, meet: str | None) -> None:
    """Refuse numbers of nodes that cannot meet.

    >>> require(2, "node1:29500")

    Raises:
        UsageError: No place is given, none is needed, or it is not HOST:PORT.
    """
    if nodes > 1 and meet is None:
        raise UsageError(f"--nodes {nodes}: say where they meet: --meet HOST:PORT, HOST being one of them")
    if nodes == 1 and meet is not None:
        raise UsageError(f"--meet {meet}: is for several machines: say how many with --nodes N")
    host, _, port = (meet or "any:1").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UsageError(f"--meet {meet}: want HOST:PORT, as node1:29500: one of the machines, and a port free on it")


def _refuse_under_srun(gpus: int, nodes: int, environment: Mapping[str, str]) -> None:
    """One task a node may start its processes itself; more are the processes."""
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks not in (1, nodes):
        raise UsageError(
            f"--gpus {gpus}: srun has started {tasks} processes already, which join each other: take it out, or give "
            "srun --ntasks-per-node=1, with --nodes and --meet"
        )


def torchrun(gpus: int, nodes: int = 1, meet: str | None = None, restarts: int = 0) -> NoReturn:
    """Run this very command in several processes under torchrun, and end as they do.

    Args:
        gpus: As in `launch_processes`, like the others.
        nodes: Machines.
        meet: Where they meet.
        restarts: After a process has died.

    Raises:
        SlowFastError: There are fewer GPUs than that, or the other machines were not there.
    """
    import torch
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    found = torch.cuda.device_count()
    if torch.cuda.is_available() and found < gpus:
        raise SlowFastError(f"--gpus {gpus}: this machine has {found}")
    words = sys.argv[1:]
    _quieten(words)
    # After the dashes nothing is taken for an option of torchrun, as --run would be.
    asked = [*_meeting(nodes, meet, words), f"--nproc-per-node={gpus}", f"--max-restarts={restarts}"]
    launch = [*asked, "-m", "--", "slowfast_cli", *words]
    with tempfile.TemporaryDirectory(prefix="slowfast-") as folder:
        ours = {FOLDER: folder, LAUNCHER: str(os.getpid()), **OWN_STORE, **UNHURRIED}
        os.environ |= ours
        try:
            run.run(run.parse_args(launch))
        except ChildFailedError as error:
            rank, first = error.get_first_failure()
            _tell_death(Path(folder), rank, first.exitcode, restarts)
            sys.exit(_ended(Path(folder), code=first.exitcode if first.exitcode > 0 else 1))
        except SignalException:  # of the user, or of a process that has told what is wrong
            _part(nodes, meet, words)
            sys.exit(_ended(Path(folder), code=130))
        except RendezvousError as error:
            raise LostError(
                f"--meet {meet}: the {nodes} machines did not meet, or one of them has ended: see there; else check "
                f"that the very same command runs on each and that all can reach {meet} ({type(error).__name__})"
            ) from error
        finally:
            for name in ours:
                del os.environ[name]
    sys.exit(0)


def _quieten(words: list[str]) -> None:
    """What torchrun says of a process that has died, each has told already, and in fewer words."""
    import logging

    for name in [*logging.root.manager.loggerDict] if "--debug" not in words else ():
        if name.startswith("torch.distributed"):  # each has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _tell_death(folder: Path, rank: int, code: int, restarts: int) -> None:
    """Say that a process was killed, as it could not say so itself."""
    if code < 0 and not (folder / "code").exists():
        retried = f"after {restarts} restarts: " if restarts else ""
        sys.stderr.write(
            f"error: {retried}process {rank} was killed by signal {-code} (9 is often memory running out): the same "
            "command goes on from the last checkpoint\n"
        )


def _meeting(nodes: int, meet: str | None, words: list[str]) -> list[str]:
    """The words of torchrun about who belongs together."""
    if nodes == 1:
        return ["--standalone"]
    waits = f"join_timeout={PATIENCE},read_timeout={PATIENCE}"
    return [
        f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={meet}", f"--rdzv-id={_id(words)}",
        f"--rdzv-conf={waits}",
    ]  # fmt: skip


def _id(words: list[str]) -> str:
    """Tells one command from another: two that meet at the same place by mistake do not become one run."""
    return sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _part(nodes: int, meet: str | None, words: list[str]) -> None:
    """Let the other machines not wait for this one."""
    if nodes == 1 or meet is None:
        return
    from torch.distributed.elastic.rendezvous import RendezvousError, RendezvousParameters, registry

    asked = RendezvousParameters("c10d", meet, _id(words), nodes, nodes, is_host=False, read_timeout=5)
    with suppress(RendezvousError, RuntimeError):  # it was there that they met, and it is gone
        registry.get_rendezvous_handler(asked).shutdown()


def _ended(folder: Path, *, code: int) -> int:
    """What a process has left as the exit code of all; else the one that is given."""
    try:
        return int((folder / "code").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return code


def should_report(error: Exception) -> bool:
    """Whether this process is to tell an error: of a run in many processes one is enough.

    An error that says that another process is gone is told where nothing else was.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        return True
    if isinstance(error, SlowFastError) and not isinstance(error, LostError):
        try:
            with Path(folder, "code").open("x", encoding="ascii") as file:
                file.write(str(error.code))
        except OSError:  # somebody was here before, or all is over
            return False
        return True
    return not Path(folder, "code").exists()


def stop_all(error: Exception) -> None:
    """End the whole run for a mistake, which starting again would only repeat."""
    parent = str(os.getppid()) == os.environ.get(LAUNCHER)  # not who takes in the children of the dead
    if parent and isinstance(error, SlowFastError) and not isinstance(error, LostError):
        os.kill(os.getppid(), signal.SIGTERM)


def is_restart() -> bool:
    """Whether this process takes the place of one that had begun: it then goes on, and does not start over."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    return Path(folder, "begun").exists()


def mark_started() -> None:
    """Leave word that what is asked for anew has been begun anew."""
    if FOLDER in os.environ:
        with suppress(OSError):  # all is over
            Path(os.environ[FOLDER], "begun").touch()
