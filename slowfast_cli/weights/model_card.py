"""A model card in Markdown: what weights recognize, how they were trained, how to use them."""

from collections.abc import Mapping

import yaml

from slowfast_cli.weights.file import Card

SHOWN = 40  # classes that are listed
LICENSES = (
    "mit",
    "apache-2.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc0-1.0",
    "cc-by-sa-4.0",
)  # of the Hub


def model_card(card: Card, name: str, *, titles: Mapping[str, str] | None = None) -> str:
    """Return a model card with the metadata block that the Hugging Face Hub reads.

    Args:
        card: Of the weights.
        name: Argument of ``--weights`` in the examples: a file, or ``hf://owner/name``.
        titles: Names of the metrics; by default as stored.
    """
    kind = "video-classification" if "frames" in card.net.signals else "audio-classification"
    license_id = card.licence.lower().replace(" ", "-")
    head = {
        "library_name": "slowfast-cli",
        "pipeline_tag": kind,
        "tags": ["slowfast", kind, *(["audio", "video"] if len(card.net.signals) > 1 else [])],
        "license": license_id if license_id in LICENSES else "other",
        **({"license_name": card.licence} if card.licence and license_id not in LICENSES else {}),
    }
    lines = ["---", yaml.safe_dump(head, sort_keys=False).strip(), "---", "", f"# {name.rpartition('/')[2]}", ""]
    for labels, classes in card.classes.items():
        listed = ", ".join(classes[:SHOWN]) + (f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else "")
        lines += [f"Recognizes {len(classes)} classes ({labels}): {listed}.", ""]
    lines += ["## Use", "", "```sh", f"slowfast predict FILE --weights {name}", "```", ""]
    if card.scores:
        lines += [
            "## Scores",
            "",
            "On the validation split of its training data, or as stated by who published it:",
            "",
        ]
        lines += ["| metric | value |", "|---|---:|"]
        lines += [f"| {(titles or {}).get(key, key)} | {value:.4g} |" for key, value in card.scores.items()]
        lines.append("")
    lines += ["## Details", "", "| | |", "|---|---|"]
    lines += [f"| {title} | {text} |" for title, text in _details(card) if text]
    lines += ["", *(f"- {note}" for note in card.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _details(card: Card) -> list[tuple[str, str]]:
    front, video = card.front_end, card.video
    return [
        ("reads", " and ".join(sorted(card.net.signals))),
        ("recipe", card.recipe),
        ("source", card.source),
        ("license", card.licence or "not stated"),
        ("clip", f"{card.clip_seconds:g} s, {card.views} views"),
        ("log-mel", f"{front['mels']} bands, {front['rate']} Hz, hop {front['hop_ms']:g} ms" if front else ""),
        ("frames", f"{video['frames']}, every {video['step']} of {video['fps']:g} a second" if video else ""),
        ("outputs", "independent classes (sigmoid)" if card.sigmoid else "exclusive classes (softmax)"),
        ("hash of the training segments", card.trained_on),
    ]
