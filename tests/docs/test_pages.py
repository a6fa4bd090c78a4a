"""The pages of the documentation do what they say: commands are parsed, and executed if no mark forbids it."""

import re

import pytest
from docs.commands import check_block
from docs.page import PAGES, ROOT, read
from docs.run import run_page

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def page_test(path):
    """Pages that execute something are for the second step of CI: each command starts a process, some train."""
    executes = any(block.is_executed for block in read(path.read_text(encoding="utf-8")).blocks)
    marks = (pytest.mark.thorough,) if executes else ()
    return pytest.param(path, id=name_of(path), marks=marks)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_names_commands_that_exist(path):
    made = {}
    for block in read(path.read_text(encoding="utf-8")).blocks:
        check_block(block, made)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = {link.partition("#")[0] for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)}
    assert {target for target in targets if target and not (path.parent / target).exists()} == set()


@pytest.mark.parametrize("path", [page_test(path) for path in PAGES])
def test_a_page_runs(path, tmp_path):
    run_page(path.read_text(encoding="utf-8"), tmp_path)
