"""Output at any width, of any name."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from rich.console import Console

import slowfast_cli.cli as package
from slowfast_cli.build.network import NETWORKS
from slowfast_cli.cli import show
from slowfast_cli.stages.train.dry_run import count_variants
from slowfast_cli.types import Scores

SIZES = list(csv.DictReader((tiny.Path(package.__file__).parent / "network_sizes.csv").read_text().splitlines()))


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(show, "out", Console(width=80, force_terminal=True, highlight=False, color_system=None))


LISTINGS = [["recipes", "ls"], ["data", "ls"], ["weights", "ls"], ["recipes", "variants"]]


@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_listings_take_one_line_per_entry_at_80_columns(narrow, words):
    entries = tiny.good(*words, "--json").lines
    count = len(entries[0] if words == ["recipes", "ls"] else entries)
    lines = tiny.good(*words).out.splitlines()
    assert len(lines) == count + 1
    assert max(map(len, lines)) <= 80


def test_listings_are_filtered():
    assert {row["task"] for row in tiny.good("recipes", "ls", "--task", "detect", "--json").lines[0]} == {"detect"}
    assert {row["corpus"] for row in tiny.good("recipes", "ls", "--dataset", "epic", "--json").lines[0]} == {"epic"}
    assert {row["dataset"] for row in tiny.good("weights", "ls", "--dataset", "vggsound", "--json").lines} == {
        "vggsound"
    }
    assert tiny.slowfast("recipes", "ls", "--task", "nothing").code == 2


def test_a_narrow_listing_says_what_it_leaves_out(narrow):
    done = tiny.good("weights", "ls")
    assert "not shown for lack of width: input, license, downloaded; --json prints everything" in done.err


def test_names_do_not_control_the_terminal(tmp_path):
    clip = tiny.write(tmp_path / "a\x1b[31mb\n.wav", tiny.sound("rain.wav", 1.0))
    for path in (clip, tmp_path / "no\x1b]0;title\x07.wav"):
        done = tiny.slowfast("predict", path)
        assert "\x1b" not in done.out + done.err
        assert "\x07" not in done.out + done.err
        assert "\\x1b" in done.out + done.err


def test_the_stored_sizes_name_every_network():
    assert [row["network"] for row in SIZES] == list(NETWORKS)
    assert [row["reads"] for row in SIZES] == [" and ".join(sorted(net.signals)) for net in NETWORKS.values()]


@pytest.mark.slow
def test_the_stored_sizes_are_those_of_the_networks():
    for row, (name, size) in zip(SIZES, count_variants().items(), strict=True):
        assert row["network"] == name
        assert float(row["params_m"]) == pytest.approx(size["params_m"], abs=1e-4)
        assert float(row["gflops"]) == pytest.approx(size["gflops"], abs=1e-4)


def test_scores_show_only_what_says_something(capsys, monkeypatch):
    monkeypatch.setattr(show, "out", Console(width=100, highlight=False))
    result = Scores(values={"top1": 50.0, "top5": 100.0}, found=2, listed=2)
    show.scores(result, {}, {"label": ("a", "b")}, "mine", {"top1": (12.3, 87.6)})
    printed = capsys.readouterr().out
    assert "Top-1" in printed
    assert not any(word in printed for word in ("Top-5", "paper", "difference"))
    show.scores(result, {"top1": 40.0}, {"label": tuple("abcdef")}, "theirs", {})
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("Top-5", "paper", "difference", "+10.00"))


def test_progress_counts_files_and_yields_each_result_in_order(monkeypatch):
    shown = []

    class FakeBar:
        def __init__(self, total, unit, what):
            shown.append((total, unit, what))

        def to(self, done):
            shown.append(done)

        def close(self):
            shown.append("closed")

    monkeypatch.setattr(show, "Bar", FakeBar)
    results = [SimpleNamespace(path=Path(name)) for name in "aabcc"]
    assert list(show.progress(iter(results), 3, "predict")) == results
    assert shown == [(3, "file", "predict"), 0, 0, 1, 2, 2, "closed"]
    shown.clear()
    assert list(show.progress(iter(results[:2]), 1, "predict")) == results[:2]
    assert shown == []
