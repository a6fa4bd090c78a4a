"""docs/reproduction/settings.yaml: every recipe is as it says, and every difference from a source is explained."""

from pathlib import Path

import pytest
import yaml

from slowfast_cli.recipe.files import folder
from slowfast_cli.recipe.load import bundled, check, flat, read

ENTRIES = yaml.safe_load((Path(__file__).parents[2] / "docs/reproduction/settings.yaml").read_text(encoding="utf-8"))
ROWS = [(name, field) for name, entry in ENTRIES.items() for field in entry.get("settings", {})]
SECTIONS = {"frontend", "video", "augment", "sync", "pretext", "probe", "optim", "schedule"}
OTHERS = {
    "data": {"clip_seconds", "views", "pad", "merge"},
    "model": {"dropout", "hidden", "freeze_bn", "freeze_trunk", "drop_pathway"},
}
TASK = "hares/_task"  # no recipe of its own


def written(name):
    return yaml.safe_load((folder() / f"{name}.yaml").read_text(encoding="utf-8"))


def values(name):
    return written(name) if name == TASK else check(read(name)).model_dump(mode="json")


def at(fields, dotted):
    for key in dotted.split("."):
        fields = fields[key] if fields is not None else None
    return fields


def equal(one, other):
    """Rounding does not count: the paper's 5.12 s are the code's 5.119."""
    kinds = (int, float)
    if type(one) in kinds and type(other) in kinds:
        return one == pytest.approx(other, rel=1e-3, abs=0)
    return one == other


def ancestors(name):
    """The recipe and those from which it takes fields."""
    return [name, *(ancestors(parent) if (parent := written(name).get("defaults")) else [])]


def header(name):
    lines = (folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))])


def patches(name):
    tables = [check(read(one)).tables for one in ancestors(name) if one != TASK]
    return [row.set for table in tables for rows in table.values() for row in rows.values()]


def test_every_recipe_has_its_entry():
    assert set(ENTRIES) == {*bundled(), TASK}
    assert len(ROWS) > 250
    assert all(entry["about"] for entry in ENTRIES.values())


@pytest.mark.parametrize("name", ENTRIES)
def test_a_recipe_is_as_its_entry_says(name):
    fields = values(name)
    rows = ENTRIES[name].get("settings", {})
    assert {field: at(fields, field) for field in rows} == {field: row["ours"] for field, row in rows.items()}


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if "paper" in entry])
def test_an_entry_has_every_setting_that_its_recipe_writes(name):
    own = written(name)
    fields = {
        f"{section}.{key}".rstrip(".")
        for section in (SECTIONS | OTHERS.keys()) & own.keys()
        for key, _ in (flat(own[section]) if own[section] is not None else [("", None)])
        if section in SECTIONS or key in OTHERS[section]
    }
    assert fields - ENTRIES[name].get("settings", {}).keys() == set()


@pytest.mark.parametrize(("name", "field"), ROWS)
def test_a_setting_has_a_source_and_a_difference_is_explained(name, field):
    row = ENTRIES[name]["settings"][field]
    assert set(row) <= {"paper", "code", "ours", "note"}
    assert "note" in row or "paper" in row or "code" in row, "neither in the paper nor in its code: say whose it is"
    assert "code" not in row or "code" in ENTRIES[name]
    others = [row[source] for source in ("paper", "code") if source in row and not equal(row[source], row["ours"])]
    if others:
        assert row["note"]
        assert any(field in header(one) for one in ancestors(name)), "the recipe's header does not say it"
    for other in others:
        assert any(field in patch and equal(patch[field], other) for patch in patches(name)), "no row has it"
