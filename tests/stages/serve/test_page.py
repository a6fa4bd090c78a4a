"""The page as its browser uses it: upload, answer, deletion; and what it must not give away."""

import json
import uuid
from pathlib import Path

import pytest
import tiny

DOG = tiny.DATA / "dog.ogg"
API = "/gradio_api"


@pytest.fixture(scope="module")
def page(served):
    with served.client:  # starts the queue of the page
        yield served


def config(page):
    return page.client.get("/config").json()


def recognize(page, data, event=0):
    """Send the inputs of an event, and read its last message."""
    session = uuid.uuid4().hex
    sent = {"data": data, "fn_index": event, "session_hash": session}
    assert page.client.post(f"{API}/queue/join", json=sent).status_code == 200
    messages = []
    with page.client.stream("GET", f"{API}/queue/data?session_hash={session}") as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                messages.append(json.loads(line.removeprefix("data:")))
            if messages and messages[-1]["msg"] in ("process_completed", "close_stream"):
                break
    values = [message["output"]["data"] for message in messages if message["msg"] == "process_generating"]
    return values[0] if values else None, messages[-1]


def upload(page, path):
    with path.open("rb") as file:
        (stored,) = page.client.post(f"{API}/upload", files={"files": (path.name, file)}).json()
    return stored


def reference(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": Path(path).name}


def test_an_upload_is_answered_and_deleted(page):
    stored, timeline = upload(page, DOG), page.worker.model.timeline
    assert Path(stored).is_file()
    values, _ = recognize(page, [reference(stored), timeline.window, timeline.hop])
    emptied, status, bars, wide, narrow, events, downloads, *files = values
    assert emptied is None
    assert status == "**dog.ogg**, 5.0 s."
    expected = page.post(DOG).json()["top"]
    shown = {line["label"]: line["confidence"] for line in bars["value"]["confidences"]}
    assert shown == {line["label"]: line["score"] for line in expected}
    assert events["value"]["data"] == [["dog", "0.00 s", "5.00 s", "94.3%"]]
    assert downloads["visible"]
    for picture in (wide, narrow):
        png = page.client.get(f"{API}/file={picture['value']['path']}")
        assert (png.status_code, png.content[:4]) == (200, b"\x89PNG")
    assert len(files) == len(page.worker.model.formats)
    raven = page.client.get(f"{API}/file={files[page.worker.model.formats.index('raven')]['path']}")
    assert raven.text == page.post(DOG, "?events=true&format=raven").text
    content = DOG.read_bytes()
    assert [path for path in page.stored() if path.read_bytes() == content] == []
    assert page.client.get(f"{API}/file={stored}").status_code == 403


@pytest.mark.parametrize(("event", "name"), [(1, "dog.ogg"), (2, "clock.mp4")], ids=["microphone", "camera"])
def test_a_recording_is_answered_and_deleted(page, event, name):
    stored = upload(page, tiny.DATA / name)
    values, _ = recognize(page, [reference(stored), 5.0, 2.5], event)
    assert values[1].startswith(f"**{name}**, 5.0 s.")
    content = (tiny.DATA / name).read_bytes()
    assert [path for path in page.stored() if path.read_bytes() == content] == []


def test_a_broken_upload_is_one_line_and_deleted(page, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"noise" * 100)
    stored = upload(page, tmp_path / "noise.wav")
    values, _ = recognize(page, [reference(stored), 5.0, 0.5])
    assert values[1].startswith("**Error:** noise.wav: not a media file")
    assert str(page.uploads.path) not in values[1]
    assert not Path(stored).exists()


def test_empty_windows_are_the_default(page):
    values, _ = recognize(page, [reference(upload(page, DOG)), None, None])
    assert values[1] == "**dog.ogg**, 5.0 s."
    assert page.worker.asked[-1].timeline == page.worker.model.timeline


def test_wrong_windows_are_one_line(page):
    values, _ = recognize(page, [reference(upload(page, DOG)), 1.0, 2.0])
    assert values[1].startswith("**Error:** timeline 1/2: expected 0 < hop <= window")


OTHERS = ["/etc/passwd", str(DOG), "tests/assets/dog.ogg", "../../../../etc/passwd", "http://127.0.0.1:9/a.wav"]


@pytest.mark.parametrize("path", OTHERS)
@pytest.mark.parametrize("event", [0, 1, 2], ids=["file", "microphone", "camera"])
def test_a_file_that_was_not_uploaded_is_neither_read_nor_copied(page, path, event):
    before, stored = len(page.worker.asked), page.stored()
    values, last = recognize(page, [reference(path), 5.0, 0.5], event)
    assert values is None
    assert not last.get("success")
    assert len(page.worker.asked) == before
    assert page.stored() == stored


def test_a_link_in_the_folder_of_uploads_leads_nowhere(page):
    (page.uploads.page / "link.ogg").symlink_to(DOG)
    before = len(page.worker.asked)
    values, _ = recognize(page, [reference(str(page.uploads.page / "link.ogg")), 5.0, 0.5])
    (page.uploads.page / "link.ogg").unlink()
    assert values is None
    assert len(page.worker.asked) == before


@pytest.mark.parametrize(
    "address",
    [
        "/file=/etc/passwd",
        f"{API}/file=/etc/passwd",
        f"{API}/file=..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        f"{API}/file={DOG}",
        f"{API}/file=pyproject.toml",
        f"{API}/file=.gradio%2Fcached_examples",
        f"{API}/file=file:%2F%2F%2Fetc%2Fpasswd",
        f"{API}/file=http://127.0.0.1:9/x",
        f"{API}/file/etc/passwd",
        f"{API}/proxy=http://127.0.0.1:9/x",
        f"{API}/stream/a/b/c/playlist.m3u8",
        f"{API}/runs",
        f"{API}/deep_link",
        "/static/..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/static/%2e%2e/%2e%2e/routes.py",
        "/assets/..%2F..%2F..%2Froutes.py",
        "/svelte/..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/docs",
        "/monitoring",
    ],
)
def test_no_file_of_the_server_can_be_read(page, address):
    response = page.client.get(address)
    assert response.status_code in (400, 403, 404)
    assert "root:" not in response.text


def test_the_page_loads_nothing_from_elsewhere_and_names_no_place(page):
    response = page.client.get("/")
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["content-security-policy"]
    text = json.dumps(config(page))
    assert "12 classes of sounds" in text
    for place in (str(page.uploads.path), str(Path.cwd()), str(Path.home())):
        assert place not in text


def test_old_files_of_the_page_are_deleted(page):
    upload(page, DOG)  # nobody asks for its answer
    assert [path for path in page.stored() if path.name == DOG.name] != []
    page.uploads.sweep(60)
    assert [path for path in page.stored() if path.name == DOG.name] != []
    page.uploads.sweep(-1)
    assert page.stored() == []
