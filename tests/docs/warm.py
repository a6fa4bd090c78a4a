"""Starts `slowfast` by forking a process that has imported its libraries: a page has dozens of commands, 2 s each.

The commands themselves (`slowfast_cli.cli`) are imported after the fork, as at a real start.

    python warm.py serve SOCKET         imports, then answers until it is killed
    python warm.py run SOCKET WORD...   runs one command with this process's folder, variables and streams
"""

import io
import json
import os
import socket
import sys
import traceback
from pathlib import Path

LIBRARIES = [
    "torch", "numpy", "scipy.signal", "h5py", "av", "soundfile", "sklearn.metrics", "matplotlib.figure", "pydantic",
    "safetensors.torch", "librosa", "tqdm", "typer", "torch.utils.data", "torch.export",
    "slowfast_cli.stages.train.loop", "slowfast_cli.stages.evaluate.run", "slowfast_cli.stages.extract.run",
    "slowfast_cli.stages.predict.predictor", "slowfast_cli.stages.predict.video",
]  # fmt: skip


def serve(place: str) -> None:
    """Answer commands one at a time."""
    import importlib

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    for name in LIBRARIES:
        importlib.import_module(name)
    while True:
        connection, _ = listener.accept()
        child = os.fork()
        if not child:
            listener.close()
            _answer(connection)
        connection.close()
        os.waitpid(child, 0)


def _answer(connection: socket.socket) -> None:
    """Run a command in a child of this child, and send its exit code."""
    message, handles, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    command = json.loads(message)
    worker = os.fork()
    if worker:
        _, status = os.waitpid(worker, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w"), "utf-8", line_buffering=True) for number in (1, 2)
    )
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv = ["slowfast", *command["words"]]
    from slowfast_cli.__main__ import main

    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(place: str, words: list[str]) -> int:
    """Run a command in the server; returns its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        command = {"folder": str(Path.cwd()), "environment": dict(os.environ), "words": words}
        socket.send_fds(connection, [json.dumps(command).encode()], [0, 1, 2])
        return int(connection.recv(16) or 1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    sys.exit(run(sys.argv[2], sys.argv[3:]))
