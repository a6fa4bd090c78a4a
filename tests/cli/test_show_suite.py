"""The table of a suite: the paper's layout, and no average of an incomplete domain."""

import json

import pytest

from slowfast_cli.cli import show
from slowfast_cli.cli.show_suite import cells, summary
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.hares import benchmark


@pytest.fixture(scope="module")
def asked():
    return load("hares").suite


def test_the_paper_is_shown_in_full_and_its_averages_come_out(asked):
    header, body = cells(asked, {})
    rows = {row[0]: row[1:] for row in body}
    assert header[:4] == ["", "ours", "SF NFNet-F0", "SF ResNet50"]
    assert len(body) == 12 + 3 + 1
    assert [row[0] for row in body][4] == "Environment, average"
    # Printed: 75.8, 77.2, 68.6 and 74.6 of the paper's own network; 74.3, 73.4, 65.2 and 71.7 of the other.
    averages = [rows[f"{name}, average"] for name in ("Environment", "Speech", "Music")] + [rows["HARES"]]
    assert [each[1] for each in averages] == ["75.8", "77.2", "68.6", "74.6"]
    assert [each[2] for each in averages] == ["74.3", "73.4", "65.2", "71.7"]
    assert rows["HARES"][7:] == ["-", "-", "-", "-"]  # columns that the paper leaves incomplete


def test_an_incomplete_domain_has_no_average_and_says_what_is_missing(asked, capsys, monkeypatch):
    monkeypatch.setattr(show.out, "_width", 300)
    scores = dict.fromkeys(("audioset", "birdsong", "tut18"), 50.0) | dict.fromkeys(asked.domains["music"], 60.0)
    assert benchmark.averages(asked, scores) == {"environment": None, "speech": None, "music": 60.0, "hares": None}
    with show.out.capture() as shown:
        summary(asked, scores, "hares: mine")
    text = shown.get()
    assert "Environment: 3 of 4 tasks, so no average; missing: ESC-50" in text
    assert "HARES: 6 of 12 tasks, so no average" in text
    assert "Music:" not in text
    (line,) = [line for line in text.splitlines() if "Environment, average" in line]
    assert line.split("│")[2].strip() == "-"


def test_a_complete_suite_is_the_mean_of_its_tasks(asked):
    scores = {task: float(number) for number, task in enumerate(benchmark.domains(asked)["hares"])}
    means = benchmark.averages(asked, scores)
    assert means["hares"] == pytest.approx(5.5)
    assert means["environment"] == pytest.approx(1.5)
    json.dumps(means)


@pytest.mark.parametrize(("width", "columns"), [(80, 5), (60, 3), (300, 12)])
def test_a_narrow_window_shows_fewer_columns_and_names_the_others(asked, monkeypatch, width, columns):
    monkeypatch.setattr(show.out, "_width", width)
    with show.out.capture() as shown:
        summary(asked, {"esc50": 60.0}, "hares: mine")
    text = shown.get()
    (line,) = [line for line in text.splitlines() if line.startswith("│ ESC-50 ")]
    assert len(line.split("│")) - 2 == columns
    assert len(line) <= width
    assert ("columns that need a wider terminal: " in text) == (columns < 12)
