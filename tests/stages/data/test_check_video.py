"""`slowfast data check` on corpora of video: pictures are decoded too, and a video without sound is no fault."""

import csv
import os
import re
import shutil

import pytest
import rendered
import tiny
import tiny_video

from slowfast_cli.corpora import charades, epic, epic55, kinetics
from slowfast_cli.corpora.registry import CORPORA
from slowfast_cli.media import video
from slowfast_cli.stages.data.check import Report, check

LAYOUTS = {
    "kinetics400": tiny_video.kinetics,
    "kinetics600": tiny_video.kinetics,
    "kinetics700": tiny_video.kinetics,
    "ssv2": tiny_video.ssv2,
    "epic55": tiny_video.epic55,
    "charades": tiny_video.charades,
    "ucf101": tiny_video.ucf101,
    "hmdb51": tiny_video.hmdb51,
    "ave": tiny_video.ave,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return tiny_video.render(tmp_path_factory.mktemp("clips") / "rendered")


@pytest.fixture(autouse=True)
def _forget():
    yield
    video._info.cache_clear()
    video.probe.cache_clear()


def cells(out):
    """The table's rows by their first cell."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    return {row[0]: row[1:] for row in rows}


def replaced(path, content):
    path.unlink()  # the clips are linked
    path.write_bytes(content)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_corpus_is_good_and_what_has_no_sound_is_counted_apart(name, clips, tmp_path):
    root = LAYOUTS[name](tmp_path / "root", clips)
    done = tiny.good("data", "check", name, "--root", root, "-j", "2", "--out", tmp_path / "wrong.csv")
    assert "wrong" not in done.err
    for _, _, _, good, _, wrong, _, pictures, only in cells(done.out).values():
        assert (int(good) > 0, wrong) == (True, "none")
        assert pictures.endswith(" s")
        assert re.search("videos? without sound", only) or int(good) < 4
    assert "only their frames can be used" in done.err
    with (tmp_path / "wrong.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all("no audio stream" in row["reason"] for row in rows)


def test_what_is_wrong_with_videos_is_found(clips, tmp_path):
    root = tiny_video.kinetics(tmp_path / "root", clips)
    victims = sorted((root / "train").rglob("*.mp4"))
    broken, cut, late, mute, deaf = victims[:5]
    replaced(broken, b"no video at all" * 100)
    fast = {"movflags": "faststart"}
    whole = rendered.bounce  # with sound
    whole(tmp_path / "x.mp4", seconds=4, seed=1, size=96, container=fast)
    data = (tmp_path / "x.mp4").read_bytes()
    replaced(cut, data[: len(data) // 2])
    replaced(late, rendered.numbered(tmp_path / "short.mp4", frames=2, tone_hz=300).read_bytes())
    replaced(mute, rendered.numbered(tmp_path / "mute.mp4", frames=30, sound=rendered.tone(1, 300) * 0).read_bytes())
    replaced(deaf, rendered.numbered(tmp_path / "deaf.mp4", frames=30).read_bytes())
    soundless = sum(path.samefile(clips / "quiet.mp4") for path in victims[5:])
    *each, report = check(kinetics.read(root, "train"), min_seconds=0.5, jobs=2)
    assert isinstance(report, Report)
    by_path = {one.path: one for one in each}
    assert [by_path[path].state for path in victims[:5]] == [
        "unreadable video", "unreadable video", "too short", "video with silence", "video without sound",
    ]  # fmt: skip
    assert "truncated" in by_path[cut].reason
    assert "0.07 s of frames: expected at least 0.50 s" in by_path[late].reason
    assert by_path[deaf].video_seconds == pytest.approx(1, abs=0.05)
    assert report.states["video without sound"] == 1 + soundless
    assert {failure.path for failure in report.failures if not failure.soundless} == {broken, cut, late}
    assert {failure.path for failure in report.failures if failure.soundless} >= {mute, deaf}
    done = tiny.slowfast("data", "check", "kinetics400", "--root", root, "--min-seconds", "0.5")
    assert done.code == 3
    assert "3 recordings have problems" in done.err
    assert "1 too short, 2 unreadable video" in done.out
    assert "1 video with silence" in cells(done.out)["train"][-1]
    assert deaf.name not in done.err


def test_sound_that_is_broken_is_wrong_though_the_pictures_are_not(clips, tmp_path):
    root = tiny_video.epic55(tmp_path / "root", clips)
    (root / "audio").mkdir()
    shutil.copy(tiny.DATA / "rain.wav", root / "audio" / "P01_01.wav")
    (root / "audio" / "P02_01.wav").write_bytes(b"RIFF" + b"nothing" * 50)
    *each, _ = check(epic55.read(root, "all"))
    found = {one.id: one for one in each}
    assert found["P01_01"].state == "ok"
    assert found["P01_01"].seconds == pytest.approx(5, abs=0.1)  # the sound beside the video, not that of the video
    assert (found["P02_01"].state, found["P02_01"].video_seconds > 2.9) == ("unreadable", True)


def test_folders_of_pictures_are_decoded_and_need_no_sound(clips, tmp_path):
    root = tiny_video.charades(tmp_path / "root", clips)
    shutil.rmtree(root / "Charades_v1_480")
    names = [f"{'T' if split == 'train' else 'V'}A{number}BC" for split in ("train", "test") for number in range(4)]
    (root / "Charades_v1_rgb").mkdir()
    for name in names:
        rendered.folder(root / "Charades_v1_rgb" / name, frames=72, name=f"{name}-{{:06d}}.jpg")
    done = tiny.good("data", "check", "charades", "--root", root)
    assert cells(done.out)["train"][3:6] == ["0", "0", "none"]
    assert cells(done.out)["train"][-1] == "4 videos without sound"
    (root / "Charades_v1_rgb" / names[0] / f"{names[0]}-000040.jpg").write_bytes(b"\xff\xd8no")
    *each, _ = check(charades.read(root, "train"))
    assert (each[0].state, f"{names[0]}-000040.jpg" in each[0].reason) == ("unreadable video", True)


def test_a_video_that_ends_before_a_moment_it_is_asked_about_is_too_short(clips, tmp_path):
    """The film was cut wrongly: annotations of AVA lie up to the end of its 15 minutes."""
    root = tiny_video.ava(tmp_path / "root", clips)
    film = root / "videos_15min" / "1j20qq1JyX4.mp4"
    film.unlink()
    os.link(clips / "a.mp4", film)
    done = tiny.slowfast("data", "check", "ava", "--root", root)
    assert done.code == 3
    assert "3.00 s of frames: a segment starts at 3.00 s" in done.err


def test_own_files_are_checked_as_what_they_are(clips, tmp_path):
    root = tmp_path / "own"
    for part in ("train", "val"):
        for label in ("rain", "ball"):
            (root / part / label).mkdir(parents=True)
        shutil.copy(tiny.DATA / "rain.wav", root / part / "rain")
        os.link(clips / "a.mp4", root / part / "ball" / "a.mp4")
        os.link(clips / "quiet.mp4", root / part / "ball" / "quiet.mp4")
    done = tiny.good("data", "check", "folder", "--root", root)
    assert cells(done.out)["train"][3:6] == ["2", "0", "none"]
    assert cells(done.out)["train"][-1] == "1 video without sound"
    data = (clips / "a.mp4").read_bytes()
    (root / "train" / "ball" / "bad.mp4").write_bytes(data[: len(data) // 2])
    tiny.write(root / "train" / "rain" / "mute.wav", tiny.sound("rain.wav", 1) * 0)
    done = tiny.slowfast("data", "check", "folder", "--root", root)
    assert done.code == 3
    assert "2 recordings have problems" in done.err
    assert "1 silent, 1 unreadable" in done.out


def test_corpora_of_sound_are_listened_to_only():
    assert {name for name, known in CORPORA.items() if known.info.audio_or_video} == {"folder", "csv"}


def test_epic_kitchens_mp4_files_are_decoded_and_sound_alone_is_not(tmp_path):
    shutil.copyfile(tiny.DATA / "annotations" / "EPIC_100_validation.csv", tmp_path / "EPIC_100_validation.csv")
    place = tmp_path / "P01" / "videos" / "P01_11.MP4"
    place.parent.mkdir(parents=True)
    shutil.copyfile(tiny.DATA / "clock.mp4", place)
    tiny.write(tmp_path / "audio" / "P18_02.wav", tiny.sound("rain.wav", 9.0))
    corpus = epic.read(tmp_path, "validation")
    first, second, *_ = check(corpus)
    by_id = {checked.id: checked for checked in (first, second)}
    assert by_id["P01_11"].video_seconds > 1
    assert (by_id["P18_02"].video_seconds, by_id["P18_02"].seconds) == (0, pytest.approx(9))
    assert "frames" not in by_id["P18_02"].reason


def test_a_list_without_any_file_is_an_error(clips, tmp_path):
    root = tiny_video.kinetics(tmp_path / "root", clips)
    for folder in ("train", "val"):
        shutil.rmtree(root / folder)
    done = tiny.slowfast("data", "check", "kinetics400", "--root", root)
    assert done.code == 3, done.err
    assert f"kinetics400: none of the 12 listed segments is in {root}" in " ".join(done.err.split())
