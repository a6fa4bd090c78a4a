"""The pages of the documentation as blocks: what a reader types, and what the page says comes out.

The marks are HTML comments, which rendered Markdown does not show:

    <!-- setup: my_sounds -->     once near the top: inputs of the page (`docs.setups`)
    <!-- not run here: REASON --> before a fence: its commands are parsed, not executed
    <!-- output varies -->        before a fence: its output is not compared
    <!-- exit 2 -->               before a fence: its last command ends with this code
    <!-- tested with: WORDS -->   before a fence: the test adds these words to its training, so that it ends sooner
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("console", "sh", "python")  # languages of blocks that are executed
COMMENT = re.compile(r"\s*<!--\s*(.*?)\s*-->\s*$")
SETUP = re.compile(r"setup:\s*(\S.*)")
MARK = re.compile(r"not run here: \S.*|output varies|exit \d+|tested with: \S.*")
TRAINING = re.compile(r"slowfast (train|finetune) [^\s]+")
FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w+-]*)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    """Number of the fence's line, for messages."""
    marks: tuple[str, ...] = ()

    @property
    def is_executed(self) -> bool:
        """Whether the test executes the block."""
        return self.language in RUN and not any(mark.startswith("not run here") for mark in self.marks)

    @property
    def has_stable_output(self) -> bool:
        """Whether the output is compared."""
        return "output varies" not in self.marks

    @property
    def exit_code(self) -> int:
        """Expected exit code of the last command."""
        return next((int(mark.split()[1]) for mark in self.marks if mark.startswith("exit ")), 0)

    def shortened(self, command: str) -> str:
        """A command with the words that shorten its training."""
        words = next((mark.partition(": ")[2] for mark in self.marks if mark.startswith("tested with")), "")
        return TRAINING.sub(rf"\g<0> {words}", command) if words else command

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Commands with their expected output ("" if none is shown); a block of `sh` is one script."""
        if self.language != "console":
            return [(self.text, "")]
        steps: list[tuple[str, str]] = []
        continues = False
        for line in self.text.splitlines(keepends=True):
            if continues:
                steps[-1] = (steps[-1][0] + line, "")
            elif line.startswith("$ "):
                steps.append((line[2:], ""))
            else:
                steps[-1] = (steps[-1][0], steps[-1][1] + line)
                continue
            continues = line.rstrip().endswith("\\")
        return steps


@dataclass(frozen=True)
class Page:
    """A page: its setups and blocks in order."""

    setups: tuple[str, ...]
    blocks: tuple[Block, ...]


def read(text: str) -> Page:
    """Parse the Markdown of a page.

    Raises:
        ValueError: A fence is not closed, a mark is unknown, or a console block does not begin with a command.
    """
    setups: list[str] = []
    blocks: list[Block] = []
    comments: list[tuple[int, str]] = []  # directly before the present line
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if comment := COMMENT.match(line):
            comments.append((number, comment[1]))
            if setup := SETUP.match(comment[1]):
                setups += [name.strip() for name in setup[1].split(",")]
        elif fence := FENCE.match(line):
            marks = tuple(text for _, text in comments if not SETUP.match(text))
            _refuse_unknown(marks, number)
            blocks.append(Block(fence["language"], _body(lines, fence, number), number, marks))
            if blocks[-1].language == "console" and not blocks[-1].text.startswith("$ "):
                raise ValueError(f"line {number}: a console block begins with a line '$ COMMAND'")
            comments = []
        else:
            comments = []
    return Page(tuple(setups), tuple(blocks))


def _body(lines, fence: re.Match, number: int) -> str:
    """Read up to the closing fence, without the indentation of the opening one."""
    body = []
    for _, line in lines:
        if line.strip() == fence["ticks"]:
            return "".join(f"{each.removeprefix(fence['indent'])}\n" for each in body)
        body.append(line)
    raise ValueError(f"line {number}: the fence is not closed")


def _refuse_unknown(marks: tuple[str, ...], number: int) -> None:
    for mark in marks:
        if not MARK.fullmatch(mark):
            raise ValueError(f"line {number}: unknown mark <!-- {mark} -->")
