"""ELAN annotation files (EAF 3.0): a tier for each class, since a tier may not contain overlapping annotations."""

import mimetypes
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from xml.etree import ElementTree

from slowfast_cli.events.event import Event, FileEvents

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"


def eaf(file: FileEvents) -> bytes:
    """Encode the events of a recording; times are whole milliseconds, scores a tier ``<class> score`` of their own."""
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "slowfast",
            "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    kind = mimetypes.guess_type(file.path.name)[0] or "application/octet-stream"
    media = {
        "MEDIA_URL": file.path.absolute().as_uri(),
        "MIME_TYPE": kind,
        "RELATIVE_MEDIA_URL": _text(f"./{file.path.name}"),
    }
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = {round(1000 * moment) for event in file.events for moment in (event.start, event.end)}
    names = {time: f"ts{number}" for number, time in enumerate(sorted(slots), 1)}
    for time, name in names.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    number = 0
    for title, events in _tiers(file.events):
        for tier_name, text in ((title, "{label}"), (f"{title} score", "{score:.3f}")):
            tier = ElementTree.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": "default-lt", "TIER_ID": tier_name})
            for event in events:
                number += 1
                first, after = (names[round(1000 * moment)] for moment in (event.start, event.end))
                slot = {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": first, "TIME_SLOT_REF2": after}
                annotation = ElementTree.SubElement(tier, "ANNOTATION")
                aligned = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", slot)
                value = ElementTree.SubElement(aligned, "ANNOTATION_VALUE")
                value.text = _text(text.format(label=event.label, score=event.score))
    last.text = str(number)
    kind_of_tier = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", kind_of_tier)
    ElementTree.indent(root)
    encoded: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return encoded


def _tiers(events: Sequence[Event]) -> Iterator[tuple[str, list[Event]]]:
    """The events of each class without overlaps: those that overlap earlier ones go to a further tier."""
    several = len({event.labels for event in events}) > 1
    for labels, label in sorted({(event.labels, event.label) for event in events}):
        tiers = list[list[Event]]()
        for event in sorted(events, key=lambda event: event.start):
            if (event.labels, event.label) != (labels, label):
                continue
            free = next((tier for tier in tiers if tier[-1].end <= event.start), None)
            if free is None:
                tiers.append(free := [])
            free.append(event)
        for number, tier in enumerate(tiers, 1):
            title = f"{labels}: {label}" if several else label
            yield _text(title if number == 1 else f"{title} ({number})"), tier


def _text(text: str) -> str:
    """Text as XML can have it: neither controls nor bytes that are not UTF-8."""
    clean = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in clean)
