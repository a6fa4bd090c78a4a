"""The first line of an error, where another text names the rest."""

from slowfast_cli.types import AbsentError


def test_the_list_after_the_first_line_is_not_begun():
    whole = AbsentError("data/epic: contains no train.csv; epic expects\n  data/epic/train.csv\nget it from ...")
    assert whole.brief == "data/epic: contains no train.csv"
    assert AbsentError("a: is wrong; take b").brief == "a: is wrong; take b"
