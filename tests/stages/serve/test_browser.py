"""The page in headless Chromium: drop a file, read the answer off the page."""

import base64
import os
import re
import shutil
from urllib.parse import urlsplit

import pytest
import tiny
from stages.serve.started import started

pytestmark = [pytest.mark.thorough, pytest.mark.processes]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
DOG = tiny.DATA / "dog.ogg"
DROP = """([text, name]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const dropped = new DataTransfer();
    dropped.items.add(new File([bytes], name));
    const place = document.querySelector("#file button");
    for (const kind of ["dragenter", "dragover", "drop"])
        place.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: dropped}));
}"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium found: install it, or set CHROMIUM to its path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    with started(folder=folder) as (_, line):
        yield line["url"], folder


@pytest.fixture(params=[1280, 390], ids=["wide", "narrow"])
def page(request, browser, server):
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.requested = []
    page.on("request", lambda sent: page.requested.append(sent.url))
    page.goto(server[0])
    page.wait_for_selector("#file button", timeout=60_000)
    yield page
    page.close()


def drop(page, content, name):
    page.evaluate(DROP, [base64.b64encode(content).decode(), name])


def status(page, pattern):
    page.wait_for_function(f"/{pattern}/.test(document.querySelector('#status').innerText)", timeout=60_000)
    return page.inner_text("#status")


def test_a_dropped_file_is_answered(page, server):
    url, folder = server
    drop(page, DOG.read_bytes(), "dog.ogg")
    assert status(page, r"dog.ogg, 5\.0 s\.") == "dog.ogg, 5.0 s."
    (line,) = tiny.good("predict", DOG, "--json").lines
    bars = re.findall(r"^([a-z_]+)\s+(\d+)%", page.inner_text("#set-label"), re.MULTILINE)
    assert bars == [(top["label"], f"{top['score']:.0%}".rstrip("%")) for top in line["top"]]
    wide = page.viewport_size["width"] > 640
    picture = page.locator("#timeline-wide img" if wide else "#timeline-narrow img")
    picture.wait_for(state="visible")
    assert page.locator("#timeline-narrow img" if wide else "#timeline-wide img").is_visible() is False
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 500
    with page.expect_download() as download:
        page.click("#as-raven")
    text = download.value.path().read_text()
    assert text.splitlines()[1].split("\t")[-2:] == ["dog", "0.9429"]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert {urlsplit(sent).netloc for sent in page.requested if sent.startswith("http")} == {urlsplit(url).netloc}
    content = DOG.read_bytes()
    assert [path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == content] == []


def test_a_broken_file_is_one_line_and_the_next_is_answered(page):
    drop(page, b"noise" * 100, "noise.wav")
    assert status(page, "Error").startswith("Error: noise.wav: not a media file")
    drop(page, DOG.read_bytes(), "dog.ogg")
    assert status(page, "dog.ogg, ") == "dog.ogg, 5.0 s."
