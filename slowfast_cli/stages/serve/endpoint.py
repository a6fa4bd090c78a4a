"""The application: `POST /predict`, and the page at ``/``."""

import json
from typing import IO, TYPE_CHECKING, Annotated, Any

from slowfast_cli import __version__
from slowfast_cli.events.formats import FORMATS
from slowfast_cli.stages.predict.results import read_timeline
from slowfast_cli.stages.serve.gate import Gate
from slowfast_cli.stages.serve.limits import BusyError, CrashError, Limits, TimeLimitError, TooLargeError
from slowfast_cli.stages.serve.request import Request
from slowfast_cli.stages.serve.uploads import UploadFolder, require_media, safe_name
from slowfast_cli.stages.serve.worker import Predicts
from slowfast_cli.types import DataError, SlowFastError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

STATUS = {
    BusyError: 503, CrashError: 500, TimeLimitError: 504, TooLargeError: 413, DataError: 422, UsageError: 400,
}  # fmt: skip
"""HTTP status of an error; a subclass stands before its base."""
LINES = "application/x-ndjson"
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A wrong parameter or file name"},
    413: {"description": "The file is larger or longer than the server accepts"},
    422: {"description": "The file cannot be read, or a parameter is missing or no number"},
    503: {"description": "Too many requests wait"},
    504: {"description": "The prediction took too long"},
}


def make_app(worker: Predicts, limits: Limits, uploads: UploadFolder, hosts: frozenset[str]) -> Gate:
    """Build the ASGI application.

    Args:
        worker: Answers requests.
        limits: Of size, length and time.
        uploads: Where uploads are while they are answered.
        hosts: Names of the server that requests may use; none allows all.
    """
    from fastapi import FastAPI  # noqa: PLC0415  (an extra)

    from slowfast_cli.stages.serve.page import mount_page  # noqa: PLC0415  (imports Gradio)

    app = FastAPI(title="slowfast", version=__version__, docs_url=None, redoc_url=None)
    _add_endpoint(app, worker, limits, uploads)
    _add_errors(app)
    mount_page(app, worker, limits, uploads)
    return Gate(app, limits, hosts)


def _add_endpoint(app: "FastAPI", worker: Predicts, limits: Limits, uploads: UploadFolder) -> None:
    from fastapi import Query, UploadFile  # noqa: PLC0415

    def predict(
        file: UploadFile,
        top: Annotated[int, Query(ge=1, description="Number of classes.")] = 5,
        timeline: Annotated[str | None, Query(description="WINDOW/HOP in seconds: predict sliding windows.")] = None,
        events: Annotated[bool, Query(description="Merge the windows into events.")] = False,
        format: Annotated[str, Query(description=f"With events: {', '.join(FORMATS)}.")] = "json",
    ) -> Any:
        """Answer as `slowfast predict FILE --json` does: one JSON line for each window and label set.

        With `events=true` as `slowfast predict FILE --events --json`: one line for each event, or a file of another
        format.
        """
        request = {"top": top, "timeline": _timeline(timeline), "events": events}
        return _respond(worker, limits, uploads, (file.filename, file.file), request, format)

    app.post("/predict", responses=ERRORS)(predict)


def _timeline(text: str | None) -> Any:
    try:
        return read_timeline(text)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--")) from error


def _respond(
    worker: Predicts,
    limits: Limits,
    uploads: UploadFolder,
    file: tuple[str | None, IO[bytes]],
    request: dict[str, Any],
    kind: str,
) -> "Response":
    from fastapi import Response  # noqa: PLC0415

    if kind not in worker.model.formats:
        raise UsageError(f"format {kind}: expected one of {', '.join(worker.model.formats)}")
    if kind != "json" and not request["events"]:
        raise UsageError(f"format {kind}: is a format of events: add events=true")
    name = safe_name(file[0])
    require_media(name, worker.model.suffixes)
    formats = () if kind == "json" else (kind,)
    with uploads.store(name, file[1], limits) as path:
        answer = worker.ask(Request(path=path, formats=formats, **request))
    if formats:
        stem = name.rpartition(".")[0].encode("ascii", "replace").decode().replace("?", "_")
        disposition = f'attachment; filename="{stem}{FORMATS[kind].suffix}"'
        headers = {"content-disposition": disposition}
        return Response(answer.files[kind], media_type="application/octet-stream", headers=headers)
    lines = answer.events if request["events"] else answer.lines
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    return Response(text, media_type=LINES)


def _add_errors(app: "FastAPI") -> None:
    """Answer errors as ``{"error": "one line"}``."""
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415
    from fastapi.responses import JSONResponse  # noqa: PLC0415
    from starlette.exceptions import HTTPException  # noqa: PLC0415

    def known(_: Any, error: Exception) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        return JSONResponse({"error": str(error)}, status)

    def invalid(_: Any, error: Exception) -> JSONResponse:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = str(first.get("loc", ("request",))[-1])
        more = ": send the recording as multipart/form-data, in the field file" if where == "file" else ""
        return JSONResponse({"error": f"{where}: {first.get('msg', 'invalid')}{more}"}, 422)

    def refused(_: Any, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 400
        return JSONResponse({"error": str(getattr(error, "detail", error))}, status)

    app.add_exception_handler(SlowFastError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
