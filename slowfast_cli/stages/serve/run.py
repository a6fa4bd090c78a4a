"""Listen, and run the application until a signal ends it."""

import errno
import socket as sockets
from collections.abc import Callable
from ipaddress import ip_address

from slowfast_cli.stages.serve.endpoint import make_app
from slowfast_cli.stages.serve.limits import Limits
from slowfast_cli.stages.serve.uploads import UploadFolder
from slowfast_cli.stages.serve.worker import Predicts
from slowfast_cli.types import UsageError

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})  # names of this machine
GRACE = 3  # seconds for open connections at the end: a page keeps one for as long as it is open
BACKLOG = 128  # connections that wait while the application is built


def listen(host: str, port: int) -> sockets.socket:
    """Open the socket of the server.

    Raises:
        UsageError: The port is in use or needs other rights, or the host is no address of this machine.
    """
    try:
        family, _, _, _, address = sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM)[0]
        return sockets.create_server(address[:2], family=family, backlog=BACKLOG)
    except sockets.gaierror as error:
        raise UsageError(f"--host {host}: no such address: use 127.0.0.1, or 0.0.0.0 for all networks") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"--port {port}: is in use: choose another, or 0 for a free one") from error
        if error.errno == errno.EACCES:
            raise UsageError(f"--port {port}: not permitted: choose one from 1024") from error
        raise UsageError(f"--host {host}: {error.strerror}: use 127.0.0.1, or 0.0.0.0 for all networks") from error


def is_local(socket: sockets.socket) -> bool:
    """Whether only programs on this machine reach a socket."""
    return ip_address(socket.getsockname()[0].partition("%")[0]).is_loopback


def url_of(socket: sockets.socket, host: str) -> str:
    """The address of the page; the port is that of the socket."""
    return f"http://{f'[{host}]' if ':' in host else host}:{socket.getsockname()[1]}/"


def run(
    worker: Predicts,
    limits: Limits,
    uploads: UploadFolder,
    socket: sockets.socket,
    host: str,
    *,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; call ``ready`` when requests are answered."""
    import uvicorn  # noqa: PLC0415  (an extra)

    app = make_app(worker, limits, uploads, frozenset({*LOCAL, host}) if is_local(socket) else frozenset())
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE,
        ws="none",
    )  # fmt: skip
    ready()
    uvicorn.Server(config).run(sockets=[socket])
