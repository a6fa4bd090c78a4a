"""What stands before the page and the endpoint: size of requests, known addresses, no other hosts."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from slowfast_cli.stages.serve.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MULTIPART = 1 << 16  # bytes of a request beside its file
GRADIO = "/gradio_api"
PLACES = ("/assets/", "/static/", "/svelte/", f"{GRADIO}/file=", f"{GRADIO}/heartbeat/")
ADDRESSES = frozenset(
    {"/", "/predict", "/openapi.json", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json"}
    | {"/robots.txt", "/pwa_icon"}
    | {f"{GRADIO}/{name}" for name in ("app_id", "startup-events", "info", "upload", "upload_progress", "theme.css")}
    | {f"{GRADIO}/{name}" for name in ("queue/join", "queue/data", "cancel", "reset", "reset/", "startup-events/")}
)
"""Addresses that the page and the endpoint need; Gradio has others, which fetch URLs or convert files."""
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
"""Browsers load nothing of the page from other hosts."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """ASGI middleware that refuses requests before anything of them is stored.

    Args:
        app: The page and the endpoint.
        limits: Of the size.
        hosts: Names of the server in requests; none allows all. Requests of pages of other sites, also of those whose
            name leads to this server, have other ones.
    """

    def __init__(self, app: App, limits: Limits, hosts: frozenset[str]) -> None:
        self._app, self._limits, self._hosts = app, limits, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        most = self._limits.size + MULTIPART
        length = headers.get(b"content-length", b"0")
        named = {_host(b"//" + headers.get(b"host", b""))} | (
            {_host(headers[b"origin"])} if b"origin" in headers else set()
        )
        if self._hosts and not named <= self._hosts:
            await _refuse(send, 400, "unknown host: use the address that the server printed")
        elif not _is_known(scope["path"]):
            await _refuse(send, 404, "no such address: / is the page, POST /predict the endpoint")
        elif not length.isdigit() or int(length) > most:
            await _refuse(send, 413, str(self._limits.too_large()))
        else:
            await self._pass(scope, receive, send, most)

    async def _pass(self, scope: Message, receive: Receive, send: Send, most: int) -> None:
        """Run the application; a request without a stated length ends for it where it becomes too large."""
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message if received <= most else {"type": "http.disconnect"}

        async def guarded(message: Message) -> None:
            nonlocal started
            if received > most and not started:
                return
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except Exception:
            if received <= most:
                raise
        if received > most and not started:
            await _refuse(send, 413, str(self._limits.too_large()))


def _host(url: bytes) -> str:
    """The host of a URL; empty if it has none."""
    try:
        return urlsplit(url.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _is_known(path: str) -> bool:
    return path in ADDRESSES or (path.startswith(PLACES) and "://" not in path)


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
