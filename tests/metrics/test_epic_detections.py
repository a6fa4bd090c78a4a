"""Result files of the EPIC-SOUNDS detection challenge."""

import json
import math

import golden
import pytest

from slowfast_cli.metrics.epic_challenge import Supervision
from slowfast_cli.metrics.epic_detections import DetectedEvent, detection_submission, read_detections
from slowfast_cli.types import DataError

EVENT = {"interaction": 5, "score": 0.8121, "segment": [12.431, 15.902]}
PLAIN = {
    "version": "0.1", "challenge": "audio_based_interaction_detection", "sls_pt": 2, "sls_tl": 3, "sls_td": 4,
    "t_mod": 0, "results": {"P01_101": [EVENT], "P12_102": []},
}  # fmt: skip


def event(score=0.8121, start=12.431, end=15.902):
    return DetectedEvent(index=5, score=score, start=start, end=end)


def test_the_document_has_the_official_fields_in_their_order():
    events = {"P01_101": [event()], "P12_102": []}
    plain = detection_submission(events, ["P01_101", "P12_102"], Supervision(td=4))
    assert json.dumps(plain) == json.dumps(PLAIN)
    assert detection_submission(events, list(events), t_mod=2)["t_mod"] == 2
    official = json.loads((golden.REFERENCE / "metrics" / "epic_sounds_detection_predictions.json").read_text())
    assert list(plain) == list(official)
    assert all(list(event) == list(EVENT) for events in official["results"].values() for event in events)


def test_a_document_is_read_as_arrays():
    detections = read_detections(PLAIN, "x.json")
    assert detections.files.tolist() == ["P01_101"]
    assert (detections.spans.tolist(), detections.classes.tolist(), detections.scores.tolist()) == (
        [[12.431, 15.902]], [5], [0.8121],
    )  # fmt: skip
    empty = read_detections({**PLAIN, "results": {"P12_102": []}}, "x.json")
    assert (len(empty.scores), empty.spans.shape) == (0, (0, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "0.2"}, "version is '0.2', expected '0.1'"),
        ({"challenge": ""}, "challenge is '', expected 'audio_based_interaction_detection'"),
        ({"sls_pt": 6}, "sls_pt is 6, expected a whole number, 0 to 5"),
        ({"sls_tl": 1.0}, "sls_tl is 1.0, expected a whole number"),
        ({"sls_td": None}, "sls_td is missing"),
        ({"t_mod": 3}, "t_mod is 3, expected a whole number, 0 to 2"),
        ({"t_mod": True}, "t_mod is True"),
        ({"results": []}, r"results is \[\], expected an object"),
        ({"results": {"P01_101": EVENT}}, "results of P01_101"),
    ],
)
def test_a_wrong_field_is_named(change, message):
    with pytest.raises(DataError, match=message):
        read_detections({**PLAIN, **change}, "x.json")
    with pytest.raises(DataError, match="expected an object with version"):
        read_detections([PLAIN], "x.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interaction": 44}, "interaction 44, expected a class index, 0 to 43"),
        ({"interaction": "5"}, "interaction '5'"),
        ({"score": math.nan}, "score nan, expected a finite number"),
        ({"score": math.inf}, "score inf"),
        ({"score": 10**400}, "score 1000"),
        ({"segment": [1.0]}, r"segment \[1.0\], expected start and end"),
        ({"segment": [1.0, math.nan]}, r"segment \[1.0, nan\]"),
    ],
)
def test_a_wrong_event_is_named(change, message):
    with pytest.raises(DataError, match=f"x.json: P01_101: event 1: {message}"):
        read_detections({**PLAIN, "results": {"P01_101": [EVENT, {**EVENT, **change}]}}, "x.json")
    lacking = {name: value for name, value in EVENT.items() if name not in change}
    with pytest.raises(DataError, match=r"event 0: .* expected interaction, score and segment"):
        read_detections({**PLAIN, "results": {"P01_101": [lacking]}}, "x.json")


@pytest.mark.parametrize("segment", [[2.0, 2.0], [3.0, 2.0], [-1.0, 2.0]])
def test_intervals_that_the_evaluator_scores_are_read_and_never_written(segment):
    plain = {**PLAIN, "results": {"P01_101": [{**EVENT, "segment": segment}]}}
    assert read_detections(plain, "x.json").spans.tolist() == [segment]
    with pytest.raises(DataError, match=r"P01_101: event 0: segment .*, expected 0 <= start < end"):
        read_detections(plain, "x.json", intervals_only=True)


def test_a_submission_refuses():
    with pytest.raises(DataError, match=r"1 of 2 videos have no result, such as P12_102; .*data check epic-sounds"):
        detection_submission({"P01_101": []}, ["P01_101", "P12_102"])
    with pytest.raises(DataError, match="1 videos with a result are not in the split, such as P01_11"):
        detection_submission({"P01_101": [], "P01_11": []}, ["P01_101"])
    with pytest.raises(DataError, match="score nan"):
        detection_submission({"P01_101": [event(math.nan)]}, ["P01_101"])
    with pytest.raises(DataError, match="0 <= start < end"):
        detection_submission({"P01_101": [event(0.5, 1.0, 1.0000001)]}, ["P01_101"])
