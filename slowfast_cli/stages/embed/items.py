"""What is embedded: files, or the segments of a data set, and the names of their outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from slowfast_cli.storage.finished import file_version, output_names
from slowfast_cli.types import Corpus, Recording, Seconds, UsageError


@dataclass(frozen=True, kw_only=True)
class Item:
    """A recording, or a stretch of one."""

    name: str  # of its output: a relative path without suffix
    recording: Recording
    start: Seconds = 0.0
    stop: Seconds | None = None  # None: the end of the recording

    @property
    def is_whole(self) -> bool:
        """Whether the item is a whole recording."""
        return self.start == 0.0 and self.stop is None

    @property
    def source(self) -> str:
        """What the features are of, for people: the path of a whole recording, as it was given, or the name."""
        return str(self.recording.path) if self.is_whole else self.name

    @property
    def version(self) -> list[int]:
        """Size and time of the file, which a changed recording does not keep; empty if it is gone."""
        return file_version(self.recording.path)


def file_items(paths: Sequence[Path], *, by_stem: bool = False) -> list[Item]:
    """Items of files, each once, named by `output_names`, or without folders.

    Raises:
        UsageError: Two files have the same name without folders.
    """
    given = {path.absolute(): path for path in paths}
    names = {place: place.stem for place in given} if by_stem else output_names(paths)
    first: dict[str, Path] = {}
    for place, name in names.items():
        if (other := first.setdefault(str(name), place)) != place:
            raise UsageError(
                f"{given[other]} and {given[place]}: both are {name}, and the preset's files have no folders: name one "
                "of them"
            )
    return [
        Item(name=Path(name).as_posix(), recording=Recording(id=str(given[place]), path=given[place]))
        for place, name in names.items()
    ]


def recording_items(corpora: Sequence[Corpus]) -> list[Item]:
    """Items of the whole recordings of some splits, named by their ids.

    Raises:
        UsageError: There is no recording.
    """
    recordings = {recording.id: recording for corpus in corpora for recording in corpus.recordings}
    if not recordings:
        raise _none_there(corpora)
    return [Item(name=_file_name(id_), recording=recording) for id_, recording in recordings.items()]


def corpus_items(corpora: Sequence[Corpus], clip: Seconds) -> list[Item]:
    """Items of the segments of some splits, named by their ids.

    Args:
        corpora: The splits.
        clip: Length of the stretch around the center of a segment that has one.

    Raises:
        UsageError: There is no segment.
    """
    items = dict[str, Item]()
    for segment in (segment for corpus in corpora for segment in corpus.segments):
        name = _file_name(segment.id)
        start, stop = segment.start, segment.stop
        if segment.center is not None:
            start, stop = max(segment.center - clip / 2, 0.0), segment.center + clip / 2
        items[name] = Item(name=name, recording=segment.recording, start=start, stop=stop)
    if not items:
        raise _none_there(corpora)
    return list(items.values())


def _file_name(id_: str) -> str:
    return quote(id_, safe=" ()+,=@&'")


def _none_there(corpora: Sequence[Corpus]) -> UsageError:
    return UsageError(f"--dataset {corpora[0].name}: none of the listed segments is there: see `slowfast data check`")
