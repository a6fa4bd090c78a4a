"""``report.html``: one file that needs no network, with the scores, the mistakes and the predictions."""

import base64
import csv
import re

import tiny

from slowfast_cli.report.page import Page, Section, Table, render


def test_texts_are_escaped_and_tables_are_aligned():
    table = Table(columns=["class", "score"], rows=[["<script>alert(1)</script>", "1.0"]])
    html = render(Page(title="a & b", facts=[("Data", "<x>")], sections=[Section(title="T", tables=[table])]))
    assert "<script>" not in html
    assert "a &amp; b" in html
    assert '<td class="left">&lt;script&gt;' in html


def test_the_report_of_an_evaluation(trained, sounds, tmp_path):
    out = tmp_path / "out"
    tiny.good(
        "evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--out", out, "published.top1=50"
    )
    html = (out / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert all(
        text in html for text in ("Scores", "Worst mistakes", "Confusion matrix", "slowfast 0", "50.00", "Recipe")
    )
    assert "6 of 6 listed segments" in html
    table = (out / "predictions.csv").read_text()
    assert base64.b64encode(table.encode()).decode() in html
    rows = list(csv.DictReader(table.splitlines()))
    assert len(rows) == 6
    assert all(row["right"] == str(int(row["true"] == row["answer"])) for row in rows)
    wrong = sum(row["right"] == "0" for row in rows)
    assert html.count("<audio") == min(wrong, 12)


def test_the_report_of_a_training_has_its_curves_and_validations(trained):
    html = (trained / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert all(text in html for text in ("Validation", "Curves", "Recipe", "torch "))
