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


def file_items(paths: Sequence[Path]) -> list[Item]:
    """Items of files, each once, named by `output_names`."""
    given = {path.absolute(): path for path in paths}
    return [
        Item(name=name.as_posix(), recording=Recording(id=str(given[place]), path=given[place]))
        for place, name in output_names(paths).items()
    ]


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
        name = quote(segment.id, safe=" ()+,=@&'")
        start, stop = segment.start, segment.stop
        if segment.center is not None:
            start, stop = max(segment.center - clip / 2, 0.0), segment.center + clip / 2
        items[name] = Item(name=name, recording=segment.recording, start=start, stop=stop)
    if not items:
        raise UsageError(
            f"--dataset {corpora[0].name}: none of the listed segments is there: see `slowfast data check`"
        )
    return list(items.values())
