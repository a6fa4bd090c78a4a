"""The report of a suite has its table and says why tasks are missing."""

from slowfast_cli.stages.hares.html import write_report


def test_the_table_and_what_is_missing_are_in_the_page(tmp_path):
    rows = [["ESC-50", "90.1", "91.0"], ["HARES", "-", "75.6"]]
    path = write_report(tmp_path, "hares: random", ["", "ours", "paper"], rows, ["tut18: data/tut18 does not exist"])
    html = path.read_text()
    assert all(text in html for text in ("hares: random", "<td>90.1</td>", "tut18: data/tut18 does not exist"))
    assert "Not scored" not in write_report(tmp_path, "hares", ["", "ours"], rows[:1], []).read_text()
