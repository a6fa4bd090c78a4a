"""``POST /predict``: the answers of `predict --json`, limits, deletion of uploads."""

import json
from pathlib import Path

import pytest
import tiny
from stages.serve.served import Served

from slowfast_cli.stages.serve.limits import BusyError, CrashError, Limits, TimeLimitError

DOG = tiny.DATA / "dog.ogg"


def command(*words):
    return tiny.good("predict", DOG, *words).out.replace(str(DOG), DOG.name)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", ["--json"]),
        ("?top=2", ["--json", "-k", 2]),
        ("?timeline=2.0/1.0&top=1", ["--json", "--timeline", "2.0/1.0", "-k", 1]),
        ("?events=true", ["--events", "--json"]),
        ("?events=true&timeline=2.0/0.5", ["--events", "--json", "--timeline", "2.0/0.5"]),
    ],
)
def test_answers_are_those_of_the_command(served, query, words):
    response = served.post(DOG, query)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    assert response.text == command(*words)
    assert served.stored() == []


def test_one_line_is_json(served):
    assert served.post(DOG).json()["top"][0]["label"] == "dog"


@pytest.mark.parametrize(
    "name", ["csv", "parquet", "raven", "audacity", "birdnet", "kaleidoscope", "elan", "vtt", "srt"]
)
def test_files_of_events_have_no_path_of_the_server(served, name):
    response = served.post(DOG, f"?events=true&format={name}")
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith('attachment; filename="dog.')
    for place in (str(served.uploads.path), str(Path.cwd()), str(Path.home())):
        assert place.encode() not in response.content
    assert b"dog" in response.content


def test_events_in_a_format_are_the_file_of_the_command(served, tmp_path):
    tiny.good("predict", DOG, "--events", "--format", "raven", "--out", tmp_path / "found")
    (path,) = (tmp_path / "found").glob("dog.*")
    assert served.post(DOG, "?events=true&format=raven").text == path.read_text().replace(str(DOG), DOG.name)


@pytest.mark.parametrize(
    ("query", "name", "status", "message"),
    [
        ("?timeline=2/3", "dog.ogg", 400, "timeline 2/3: expected 0 < hop <= window"),
        ("?timeline=fast", "dog.ogg", 400, "timeline fast: expected WINDOW/HOP"),
        ("?format=xml&events=true", "dog.ogg", 400, "format xml: expected one of json, csv"),
        ("?format=csv", "dog.ogg", 400, "format csv: is a format of events: add events=true"),
        ("?top=0", "dog.ogg", 422, "top: Input should be greater than or equal to 1"),
        ("?top=many", "dog.ogg", 422, "top: Input should be a valid integer"),
        ("", "dog.txt", 400, "dog.txt: expected a file that ends in .264"),
        ("", "dog", 400, "dog: expected a file that ends in"),
    ],
)
def test_mistakes_are_one_line(served, query, name, status, message):
    response = served.post(DOG, query, name)
    assert response.status_code == status
    assert response.json()["error"].startswith(message)
    assert "\n" not in response.json()["error"]
    assert served.stored() == []


def test_a_file_that_is_no_recording_is_refused_by_its_name(served, tmp_path):
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 20)
    response = served.post(tmp_path / "noise.wav")
    assert response.status_code == 422
    assert response.json()["error"].startswith("noise.wav: not a media file")
    assert str(served.uploads.path) not in response.text
    assert served.stored() == []


@pytest.mark.parametrize("content", [{"data": {"file": "dog.ogg"}}, {"json": {"file": "dog.ogg"}}, {}])
def test_a_request_without_a_file_is_one_line(served, content):
    response = served.client.post("/predict", **content)
    assert response.status_code == 422
    assert response.json()["error"].endswith("send the recording as multipart/form-data, in the field file")


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeLimitError("no answer after 1 s"), 504), (BusyError("wait"), 503), (CrashError("has died"), 500)],
)
def test_failures_of_the_worker_are_reported_and_the_upload_is_deleted(served, error, status, monkeypatch):
    monkeypatch.setattr(served.worker, "raises", error)
    response = served.post(DOG)
    assert (response.status_code, response.json()) == (status, {"error": str(error)})
    assert served.stored() == []


def test_a_large_request_is_refused_before_it_is_read(served):
    read = []

    def body():
        for number in range(100):
            read.append(number)
            yield b"x" * 100_000

    before = len(served.worker.asked)
    stated = served.client.post("/predict", content=b"x", headers={"content-length": "5000000"})
    assert (stated.status_code, stated.json()["error"][:34]) == (413, "the file is larger than 1 MB: cut ")
    kind = {"content-type": "multipart/form-data; boundary=b"}
    unstated = served.client.post("/predict", content=body(), headers=kind)  # sent in chunks
    assert (unstated.status_code, unstated.json()) == (413, stated.json())
    assert len(served.worker.asked) == before
    assert served.stored() == []


def test_an_upload_of_the_page_has_the_same_limit(served):
    large = {"files": ("large.wav", bytes(1_200_000))}
    assert served.client.post("/gradio_api/upload", files=large).status_code == 413
    assert served.stored() == []


def test_a_file_just_above_the_limit_is_refused(served, tmp_path):
    (tmp_path / "large.wav").write_bytes(bytes(1_000_001))
    response = served.post(tmp_path / "large.wav")
    assert (response.status_code, response.json()["error"][:33]) == (413, "the file is larger than 1 MB: cut")
    assert served.stored() == []


def test_a_long_recording_is_refused(tmp_path):
    server = Served(Limits(seconds=2.0))
    try:
        response = server.post(DOG)
    finally:
        server.close()
    assert response.status_code == 413
    assert response.json()["error"] == (
        "dog.ogg: 5 s long, expected at most 2 s: cut it, or raise --max-seconds on the server"
    )


@pytest.mark.parametrize("name", ["../../../tmp/x.ogg", "/etc/x.ogg", "..\\x.ogg", "x.ogg"])
def test_a_name_with_folders_stays_in_the_private_folder(served, name):
    response = served.post(DOG, name=name)
    assert response.json()["path"] == "x.ogg"
    path = served.worker.asked[-1].path
    assert path.parent.parent == served.uploads.uploads
    assert not path.parent.exists()


def test_requests_name_this_machine(served):
    response = served.client.post("/predict", files={"file": b""}, headers={"host": "attacker.example"})
    assert (response.status_code, response.json()["error"][:12]) == (400, "unknown host")
    for origin in ("http://attacker.example", "null", "http://[", "http://127.0.0.1.attacker.example"):
        response = served.client.post("/predict", files={"file": b""}, headers={"origin": origin})
        assert (response.status_code, response.json()["error"][:12]) == (400, "unknown host")
    assert served.client.get("/openapi.json", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200
    for host in ("localhost:1", "127.0.0.1", "[::1]:7860"):
        assert served.client.get("/openapi.json", headers={"host": host}).status_code == 200
    public = Served(hosts=frozenset())
    try:
        assert public.client.get("/openapi.json", headers={"host": "box.example"}).status_code == 200
    finally:
        public.close()


def test_the_endpoint_is_described(served):
    described = served.client.get("/openapi.json").json()["paths"]
    assert {"/predict"} == {*described}
    parameters = {each["name"] for each in described["/predict"]["post"]["parameters"]}
    assert parameters == {"top", "timeline", "events", "format"}
    assert {*described["/predict"]["post"]["responses"]} >= {"200", "400", "413", "422", "503", "504"}


def test_lines_are_valid_json(served):
    lines = served.post(DOG, "?timeline=1/1&top=1").text.splitlines()
    assert [json.loads(line)["start"] for line in lines] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]  # it is 5.001 s long
