"""``slowfast serve``."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError

EPILOG = options.examples(
    "slowfast serve --open",
    "slowfast serve -w runs/sounds/default --port 8000 --max-mb 20 --max-seconds 60",
    "slowfast serve --host 0.0.0.0 --timeout 30",
)


def serve(
    weights: options.Weights = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 7860,
    max_mb: Annotated[float, typer.Option(metavar="MB", help="Size of an upload, in units of 1,000,000 bytes.")] = 100,
    max_seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Length of a recording.")] = 600,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Time for one prediction.")] = 120,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address and the limits as a JSON line.")] = False,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Serve a page that recognizes dropped or recorded files, and an HTTP endpoint (extra `web`)."""
    from slowfast_cli.stages.serve.limits import Limits

    limits = Limits(megabytes=max_mb, seconds=max_seconds, timeout=timeout)
    limits.check()
    for module in ("gradio", "fastapi", "uvicorn"):
        if find_spec(module) is None:
            raise UsageError(f"serve: needs {module}: pip install 'slowfast-cli[web]'")
    from slowfast_cli.cli import show
    from slowfast_cli.stages.serve.run import is_local, listen, run, url_of
    from slowfast_cli.stages.serve.uploads import UploadFolder
    from slowfast_cli.stages.serve.worker import Worker
    from slowfast_cli.weights.chosen import chosen_for
    from slowfast_cli.weights.resolve import weight_file

    weights = weights or chosen_for(["recording"])
    path = weight_file(weights, offline=offline)
    name = Path(weights).name or path.stem  # without folders: the page shows it

    def ready(url: str) -> None:
        if as_json:
            plain = {"url": url, "endpoint": f"{url}predict", "weights": name, "max_mb": max_mb}
            typer.echo(json.dumps({**plain, "max_seconds": max_seconds, "timeout": timeout}))
        else:
            show.say(f"serving {name} at {url}  (Ctrl-C ends it)")
        if host_is_public:
            show.say("note: other machines can reach this server, and anybody on them may use it")
        if open_browser:
            show.open_url(url, url)

    with closing(listen(host, port)) as socket, closing(UploadFolder()) as uploads:
        host_is_public = not is_local(socket)
        signal.signal(signal.SIGTERM, _interrupt)  # so that uploads are deleted
        with closing(Worker(path, name, device, limits)) as worker:
            run(worker, limits, uploads, socket, host, ready=lambda: ready(url_of(socket, host)))


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
