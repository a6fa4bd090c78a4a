"""The generated pages are up to date, and nothing is missing from them."""

import importlib.util
from pathlib import Path

import slowfast_cli

ROOT = Path(__file__).parents[2]


def load():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = load()


def page(name):
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def test_the_pages_are_what_the_generator_writes():
    assert GENERATE.stale() == [], "python docs/generate.py"


def test_every_command_option_and_example_is_in_its_page():
    parts = dict(part.split("\n", 1) for part in page("commands.md").split("\n## ")[1:])
    for name, command in GENERATE.commands():
        assert command.help.split(".")[0].split("`")[0] in " ".join(parts[name].split())
        for parameter in command.params:
            names = (
                parameter.opts
                if parameter.param_type_name == "option"
                else [parameter.metavar or parameter.name.upper()]
            )
            for written in names:
                assert parameter.name == "help" or written.removesuffix("...") in parts[name], (name, written)
        for line in (command.epilog or "").split("\n\n")[1:]:
            assert f"\n{line}\n" in parts[name]


def test_every_field_is_in_its_page():
    fields = page("recipe-fields.md")
    names = [".".join(filter(None, (part, name))) for part, (_, inner) in GENERATE.sections().items() for name in inner]
    assert len(names) > 120
    assert [name for name in names if f"- **`{name}`**: " not in fields] == []
    assert "any value" not in fields


def test_every_name_of_the_api_is_in_the_table_of_its_page():
    table = page("python.md").split(GENERATE.TABLE)[1].split(GENERATE.END)[0]
    names = [name for name in slowfast_cli.__all__ if name != "__version__"]
    assert len(names) == 11
    assert [name for name in names if f"| `{name}(" not in table] == []


def test_check_names_a_stale_page(tmp_path, monkeypatch, capsys):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "python.md").write_text(page("python.md"), encoding="utf-8")
    monkeypatch.setattr(GENERATE, "FOLDER", tmp_path)
    assert GENERATE.main([]) == 0
    assert GENERATE.main(["--check"]) == 0
    (tmp_path / "reference" / "commands.md").write_text("old")
    capsys.readouterr()
    assert GENERATE.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/reference/commands.md: not up to date: run python docs/generate.py\n"


def test_units_are_those_of_fields_that_exist():
    names = {f"{part}.{name}" for part, (_, inner) in GENERATE.sections().items() for name in inner}
    assert set(GENERATE.UNITS) <= names


def test_another_word_is_refused(capsys):
    assert GENERATE.main(["--wrong"]) == 2
    assert "usage" in capsys.readouterr().err
