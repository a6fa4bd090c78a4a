"""Which columns of a csv file are the path, times, the split and label sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora.lists import HELD_OUT, class_name
from slowfast_cli.types import DataError, UsageError, did_you_mean

# Names of the columns that are no label sets, in lower case; of several that a file has, the first counts.
ROLES = {
    "path": ("path", "file", "filename", "filepath", "file_name", "file_path"),
    "start": ("start", "begin", "onset", "start_time", "begin_time", "start_seconds"),
    "stop": ("stop", "end", "offset", "stop_time", "end_time", "stop_seconds", "end_seconds"),
    "length": ("duration", "length", "dur"),  # of a segment, beside its start
    "split": ("split",),
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a csv file."""

    width: int  # number of columns
    required: int  # number of values that a row must have; further columns are unnamed
    roles: Mapping[str, int]  # index of the columns in `ROLES` that exist
    label_sets: Mapping[str, int]  # index of the column of each label set
    note: str  # what the columns are read as

    def cells(self, cells: Sequence[str], where: str) -> list[str]:
        """Pad the unnamed last columns, drop empty values behind the last; raise `DataError` for another number."""
        if len(cells) < self.required or any(cells[self.width :]):
            raise DataError(f"{where}: {len(cells)} columns, expected {self.width}")
        return [*cells[: self.width], *[""] * (self.width - len(cells))]


def assign_columns(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], chosen: Sequence[str]) -> Columns:
    """Decide what each column is.

    A column is a label set unless it is one of `ROLES`, empty and unnamed, or numbers that do not name classes: another
    one in each row (an index), fractions (a length), or without a column name (an index that pandas wrote).

    Args:
        path: The csv file, for messages.
        header: Column names.
        rows: Values, of any number of columns.
        chosen: Columns to read as label sets, which may be any; empty: decide.

    Raises:
        DataError: There are no rows, no path or no label set, or two columns have the same name.
        UsageError: A chosen column does not exist.
    """
    names = {index: class_name(name, f"{path}: column {index + 1}") for index, name in enumerate(header)}
    values = {index: [row[index] for row in rows if len(row) > index and row[index]] for index in names}
    names = {index: name or f"column {index + 1}" for index, name in names.items() if name or values[index]}
    by_name = {name: index for index, name in names.items()}
    if len(by_name) < len(names):
        twice = next(name for index, name in names.items() if by_name[name] != index)
        raise DataError(f"{path}: two columns are called '{twice}': rename one of them")
    known = {role: [name for word in words for name in names.values() if name.lower() == word and name not in chosen]
             for role, words in ROLES.items()}  # fmt: skip
    if not known["start"]:
        known["length"] = []
    roles = {role: by_name[found[0]] for role, found in known.items() if found}
    listed = ", ".join(names.values()) or "nothing"
    if not rows or "path" not in roles:
        raise DataError(
            f"{path}: no column 'path' or no rows: it has {listed}: it needs columns path and at least one label set"
        )
    if unknown := [name for name in chosen if name not in by_name]:
        raise UsageError(
            f"data.labels: {path} has no column '{unknown[0]}'{did_you_mean(unknown[0], by_name)}: {listed}"
        )
    spare = [name for found in known.values() for name in found[1:]]
    candidates = [name for index, name in names.items() if index not in roles.values() and name not in spare]
    numbers = [name for name in candidates if not _names_classes(header[by_name[name]], values[by_name[name]])]
    label_sets = list(chosen) or [name for name in candidates if name not in numbers]
    if not label_sets:
        hint = f", or choose one by data.labels=[{numbers[0]}]" if numbers else ""
        raise DataError(f"{path}: no label column in {listed}: add one, such as 'label'{hint}")
    unused = [name for name in names.values() if by_name[name] not in roles.values() and name not in label_sets]
    return Columns(
        width=len(header),
        required=1 + max(index for index, name in enumerate(header) if name),
        roles=roles,
        label_sets={name: by_name[name] for name in label_sets},
        note=_note(names, roles, label_sets, unused),
    )


def _names_classes(name: str, values: Sequence[str]) -> bool:
    """Whether values may be class names: not if they are numbers without a name, fractions, or all distinct."""
    if not values:
        return bool(name)
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return True
    unnamed = not name or name.lower().startswith("unnamed:")
    return not unnamed and all(map(float.is_integer, numbers)) and len(set(numbers)) < len(numbers)


def _note(names: Mapping[int, str], roles: Mapping[str, int], label_sets: Sequence[str], unused: Sequence[str]) -> str:
    times = [names[roles[role]] for role in ("start", "stop", "length") if role in roles]
    parts = [
        f"labels: {', '.join(label_sets)}",
        f"times: {', '.join(times) or 'none, whole files'}",
        f"split: {names[roles['split']] if 'split' in roles else HELD_OUT}",
        *([f"not used: {', '.join(unused)} (data.labels chooses)"] if unused else []),
    ]
    return "; ".join(parts)
