"""Weights on the Hub, against an endpoint on this machine that speaks its protocol."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest
import tiny

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: create, commit small files, list, download."""

    repos: ClassVar[dict[str, dict[str, bytes]]] = {}

    @property
    def host(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def log_message(self, *words):
        pass

    def answer(self, code, body=b"", kind="application/json", **headers):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code="RepoNotFound"):
        self.answer(404, b"{}", X_Error_Code=code)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/models/"):
            repo = "/".join(path.split("/")[2:4])
            if repo not in self.repos:
                return self.missing()
            if "/tree/" in path:
                tree = [{"type": "file", "path": name, "oid": "0", "size": 1} for name in self.repos[repo]]
                return self.answer(200, json.dumps(tree).encode())
            files = [{"rfilename": name} for name in self.repos[repo]]
            return self.answer(200, json.dumps({"id": repo, "sha": COMMIT, "siblings": files}).encode())
        repo, _, rest = path.partition("/resolve/")
        if repo not in self.repos:
            return self.missing()
        content = self.repos[repo].get(rest.partition("/")[2])
        if content is None:
            return self.missing("EntryNotFound")
        etag = hashlib.sha256(content).hexdigest()
        return self.answer(200, content, "application/octet-stream", ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != "Bearer hf_secret":
            return self.answer(401, b"{}")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.repos.setdefault(name, {})
            return self.answer(200, json.dumps({"url": f"{self.host}/{name}", "name": name, "id": name}).encode())
        if "/preupload/" in path:
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer(200, json.dumps({"files": files}).encode())
        if path == "/api/validate-yaml":
            return self.answer(200, b'{"errors": [], "warnings": []}')
        repo = "/".join(path.split("/")[3:5])
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.repos[repo][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        done = {"commitUrl": f"{self.host}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
        return self.answer(200, json.dumps(done).encode())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub on this machine; the client of a process of its own reads its address from the environment."""
    Hub.repos = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret",
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield Hub.repos
    server.shutdown()


@pytest.mark.thorough
def test_pushed_weights_are_used_by_their_address(hub, trained, tmp_path):
    pushed = tiny.process("weights", "push", trained, "me/rain", "--license", "CC BY 4.0", "--json")
    assert pushed.code == 0, pushed.err
    assert json.loads(pushed.out)["repo"] == "me/rain"
    assert set(hub["me/rain"]) >= {"model.safetensors", "README.md"}
    card = hub["me/rain"]["README.md"].decode()
    parts = ("license: cc-by-4.0", "library_name: slowfast-cli", "--weights hf://me/rain", "rooster")
    assert all(text in card for text in parts)
    clip = tiny.DATA / "rooster.flac"
    words = ["predict", clip, "--json", "--weights"]
    answer = tiny.process(*words, "hf://me/rain").out
    assert answer == tiny.process(*words, trained).out
    assert tiny.process(*words, "hf://me/rain", "--offline").out == answer
    hub["me/rain"]["b.safetensors"] = hub["me/rain"].pop("model.safetensors")
    assert tiny.process(*words, "hf://me/rain/b.safetensors").out == answer


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("hf://me", 2, "expected hf://OWNER/NAME[@REVISION][/FILE.safetensors]"),
        ("hf://me/nothing", 4, "no such repository, or it is private"),
        ("hf://me/empty", 4, "has weight files: none: name one"),
        ("hf://me/empty/a.safetensors", 4, "the repository has no such file"),
    ],
)
def test_what_is_not_there_is_one_line(hub, address, code, message):
    hub["me/empty"] = {}
    done = tiny.process("predict", tiny.DATA / "dog.ogg", "--weights", address)
    assert (done.code, message in done.err, "Traceback" in done.err) == (code, True, False), done.err
