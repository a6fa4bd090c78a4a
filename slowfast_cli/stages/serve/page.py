"""The page, made of Gradio's components: a recording in; bars, a picture, events and their files out."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slowfast_cli.events.formats import FORMATS
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.stages.serve.limits import Limits
from slowfast_cli.stages.serve.request import Answer, Model, Request
from slowfast_cli.stages.serve.uploads import UploadFolder, require_media, safe_name
from slowfast_cli.stages.serve.worker import Predicts
from slowfast_cli.types import SlowFastError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

TOP = 5  # bars
COLUMNS = ("label", "start", "end", "score")
SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # no calls home
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_ALLOWED_PATHS": "",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
STYLE = """
.gradio-container {width: 100% !important; max-width: 1100px !important; margin: 0 auto !important}
@media (max-width: 640px) {.wide {display: none !important}}
@media (min-width: 641px) {.narrow {display: none !important}}
#downloads {display: grid; grid-template-columns: repeat(auto-fill, minmax(95px, 1fr))}
"""


def mount_page(app: "FastAPI", worker: Predicts, limits: Limits, uploads: UploadFolder) -> None:
    """Add the page to an application at ``/``; Gradio stores its files below ``uploads.page``."""
    os.environ |= SWITCHES
    os.environ["GRADIO_TEMP_DIR"] = os.environ["GRADIO_EXAMPLES_CACHE"] = str(uploads.page)
    import gradio as gr  # noqa: PLC0415  (an extra; reads its environment when it is imported)

    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"])
    page = _make_page(worker, limits, uploads)
    page.queue(max_size=limits.waiting + 1, default_concurrency_limit=1)
    # Of a mounted page Gradio checks the paths that clients send only with these set: without, it reads any file.
    page.has_launched = page.is_running = True
    gr.mount_gradio_app(
        app, page, path="/", theme=theme, css=STYLE, footer_links=[], allowed_paths=[], show_error=False,
        max_file_size=limits.size, ssr_mode=False, mcp_server=False, pwa=False, enable_monitoring=False,
    )  # fmt: skip


def _make_page(worker: Predicts, limits: Limits, uploads: UploadFolder) -> Any:
    import gradio as gr  # noqa: PLC0415

    model = worker.model
    with gr.Blocks(title="slowfast", analytics_enabled=False) as page:
        gr.Markdown(_introduction(model, limits))
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=320):
                inputs = _inputs(model)
                with gr.Accordion("Windows of the timeline", open=False):
                    window = gr.Number(model.timeline.window, label="Window, s", minimum=0.01)
                    hop = gr.Number(model.timeline.hop, label="Hop, s", minimum=0.01)
            with gr.Column(scale=3, min_width=320):
                status = gr.Markdown("Drop or record a file to see its classes.", elem_id="status")
                bars = [
                    gr.Label(num_top_classes=TOP, label=_title(model, name), elem_id=f"set-{name}")
                    for name in model.sets
                ]
        pictures = [_picture(kind) for kind in ("wide", "narrow")]
        events = gr.Dataframe(headers=list(COLUMNS), label="Events", interactive=False, visible=False)
        with gr.Row(visible=False, elem_id="downloads") as downloads:
            buttons = [gr.DownloadButton(name, size="sm", min_width=80, elem_id=f"as-{name}") for name in model.formats]
        outputs = [inputs[0][0], status, *bars, *pictures, events, downloads, *buttons]

        def recognize(upload: str | None, window: float | None, hop: float | None) -> Iterator[list[Any]]:
            """Answer an upload; its files are deleted when Gradio has sent the answer."""
            if upload is None or uploads.page not in Path(upload).resolve().parents:
                return
            try:
                with uploads.new_folder() as folder:
                    yield _answer(worker, Path(upload), folder, window, hop)
            finally:
                uploads.delete(Path(upload))

        for component, event in inputs:
            event(
                recognize, [component, window, hop], outputs, api_visibility="private", concurrency_id="predict",
                concurrency_limit=1, show_progress_on=status, trigger_mode="always_last",
            )  # fmt: skip
    return page


def _inputs(model: Model) -> list[tuple[Any, Any]]:
    """The components that take a recording, each with the event that it is there."""
    import gradio as gr  # noqa: PLC0415

    with gr.Tabs():
        with gr.Tab("File"):
            file = gr.File(
                label="Video" if model.reads_frames else "Sound or video",
                file_types=sorted(model.suffixes),
                elem_id="file",
                height=200,
            )
        taken: list[tuple[Any, Any]] = [(file, file.upload)]
        if not model.reads_frames:
            with gr.Tab("Microphone"):
                sound = gr.Audio(sources=["microphone"], type="filepath", label="Microphone", elem_id="microphone")
            taken.append((sound, sound.stop_recording))
        with gr.Tab("Camera"):
            camera = gr.Video(
                sources=["webcam"], label="Camera", include_audio=True, elem_id="camera",
                webcam_options=gr.WebcamOptions(mirror=False),  # mirroring would need the program ffmpeg
            )  # fmt: skip
        taken.append((camera, camera.stop_recording))
    return taken


def _picture(kind: str) -> Any:
    import gradio as gr  # noqa: PLC0415

    return gr.Image(
        label="Timeline", show_label=False, type="filepath", interactive=False, buttons=["download", "fullscreen"],
        visible=False, elem_classes=kind, elem_id=f"timeline-{kind}",
    )  # fmt: skip


def _introduction(model: Model, limits: Limits) -> str:
    known = " and ".join(f"{count} {_plural(name)}" for name, count in model.classes.items())
    return (
        f"# slowfast\nWeights `{model.name}`: {known} of {'videos' if model.reads_frames else 'sounds'}. Files up to "
        f"{limits.megabytes:g} MB and {limits.seconds:g} s; each is deleted when it is answered."
    )


def _plural(name: str) -> str:
    return "classes" if name == "label" else f"{name}s"


def _title(model: Model, name: str) -> str:
    return "Classes" if len(model.sets) == 1 else name.capitalize()


def _answer(worker: Predicts, upload: Path, folder: Path, window: float | None, hop: float | None) -> list[Any]:
    """The values of the outputs: the emptied input, status, bars, pictures, events, whether there are files, files."""
    import gradio as gr  # noqa: PLC0415

    model = worker.model
    name = safe_name(upload.name)
    no_files = [None] * len(model.formats)
    try:
        require_media(name, model.suffixes)
        path = _link(upload, folder / name)
        timeline = _timeline(window or model.timeline.window, hop or model.timeline.hop)
        answer = worker.ask(
            Request(path=path, top=TOP, timeline=timeline, events=True, formats=model.formats, page=True)
        )
    except SlowFastError as error:
        hidden = [gr.update(value=None, visible=False)] * 3
        return [None, f"**Error:** {error}", *([None] * len(model.sets)), *hidden, gr.update(visible=False), *no_files]
    by_set = {line["set"]: line for line in answer.lines}
    bars = [_bars(by_set[labels]) for labels in model.sets]
    pictures = [_write(folder / f"{path.stem}.timeline.{width}.png", png) for width, png in answer.pictures.items()]
    files = [_write(folder / f"{path.stem}{FORMATS[kind].suffix}", text) for kind, text in answer.files.items()]
    rows = [_row(event) for event in answer.events]
    return [
        None,  # for the next file
        _status(model, name, answer, by_set),
        *bars,
        *[gr.update(value=picture, visible=True) for picture in pictures],
        gr.update(value=rows, visible=bool(rows)),
        gr.update(visible=bool(rows)),
        *files,
    ]


def _bars(line: Mapping[str, Any]) -> Any:
    """The bars of one label set; the best class is no heading if the file is none of the classes."""
    import gradio as gr  # noqa: PLC0415

    scores = {top["label"]: top["score"] for top in line["top"]}
    return gr.update(value=scores, show_heading="unknown" not in line)


def _row(event: Mapping[str, Any]) -> list[str]:
    return [event["label"], f"{event['start']:.2f} s", f"{event['end']:.2f} s", f"{event['score']:.1%}"]


def _timeline(window: float, hop: float) -> Timeline:
    try:
        return Timeline(window=window, hop=hop)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--")) from error


def _link(upload: Path, path: Path) -> Path:
    """Give an upload a second name, so that the page may still play it, or copy it."""
    try:
        os.link(upload, path)
    except OSError:
        with suppress(OSError):
            shutil.copyfile(upload, path)
    if not path.is_file():
        raise UsageError("the upload is gone: drop it again")
    return path


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def _status(model: Model, name: str, answer: Answer, by_set: Mapping[str, Mapping[str, Any]]) -> str:
    none = [f"None of the {model.classes[line['set']]} classes." for line in by_set.values() if line.get("unknown")]
    first = next(iter(by_set.values()))
    events = "" if answer.events else "No events."
    return " ".join([f"**{name}**, {first['end'] - first['start']:.1f} s.", *none, *answer.remarks, events]).strip()
