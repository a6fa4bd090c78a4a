"""Comparison of a command's output with the one that a page shows."""

import difflib
import re

# A number is one token: its value depends on the machine. Digits of names (res3, mp3, my_sounds-1) are words.
NUMBER = re.compile(
    r"(?<![A-Za-z_.])(?<![A-Za-z_]-)(?<!\d)(?:(?<!\w)[-+])?(?:\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\b(?:inf|nan)\b)"
)
DURATION = re.compile(r"\bN (?:ms|s|min|h|days?)\b")  # "about 67 s" is "about 2 min" on a busy machine
RULES = re.compile(r"([━─═])\1+")  # borders of a table are as long as its numbers


def normalize(line: str) -> str:
    """Replace what may differ from run to run: numbers, and the widths that depend on them."""
    words = re.sub(r"\s+", " ", RULES.sub(r"\1", NUMBER.sub("N", line))).strip()
    return DURATION.sub("N s", words)


def difference(shown: str, output: str) -> str:
    """Compare the output on a page with the real one.

    A line `...` stands for any number of lines, and `...` at the end of a line for the rest of it.

    Returns:
        "" if they agree, else a diff.
    """
    expected = [normalize(line) for line in shown.strip("\n").splitlines()]
    actual = [normalize(line) for line in output.strip("\n").splitlines()]
    if re.fullmatch("".join(map(_pattern, expected)), "".join(f"{line}\n" for line in actual)):
        return ""
    diff = difflib.unified_diff(expected, actual, "the page", "the command", lineterm="", n=100)
    return "\n".join(diff)


def _pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*?"
    start = line.removesuffix("...")
    return re.escape(start) + (r"\n" if start == line else r".*\n")
