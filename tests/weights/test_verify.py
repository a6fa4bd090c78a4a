"""``slowfast weights verify``."""

import hashlib

import tiny

from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.download import target
from slowfast_cli.weights.file import DEFAULT
from slowfast_cli.weights.verify import cached_names, problem


def test_good_and_torn_weight_files(tmp_path):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(DEFAULT.read_bytes()[:-100])
    done = tiny.slowfast("weights", "verify", "default", torn)
    assert done.code == 4
    assert "1 of 2 weights are damaged" in done.err
    assert done.out.splitlines()[1].split() == ["default", "good"]
    assert tiny.good("weights", "verify", "default").err == ""


def test_a_download_is_compared_with_its_recorded_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    assert cached_names() == []
    assert "no weights are cached" in tiny.good("weights", "verify").err
    name = next(iter(CATALOG))
    file = target(CATALOG[name])
    file.path.write_bytes(b"weights")
    file.digest.write_text(f"{hashlib.sha256(b'other').hexdigest()}  x\n")
    assert cached_names() == [name]
    assert problem(name).startswith("changed since its download: SHA-256 ")
    file.digest.write_bytes(b"\xff\xfe")  # damaged itself
    assert problem(name).startswith("changed since its download: SHA-256 ")
