"""Small video corpora in the genuine layouts, made of a few rendered clips, and what makes every recipe small."""

import json
import os
from pathlib import Path

import av
import rendered

SMALL = [
    "data.source=media", "data.workers=0", "data.views=1", "model.width=8", "~schedule.validate_every",
    "schedule.epochs=1", "schedule.steps=null", "~schedule.warmup_epochs", "~schedule.warmup_steps",
    "~schedule.drop_at", "~schedule.precise_bn_batches", "~optim.lr_batch", "~optim.bn_batch_size", "optim.lr=0.01",
    "optim.batch=4",
    "video.frames=8", "video.step=8", "video.crop=32", "video.jitter=[32,36]", "video.side=32", "video.rows=32",
]  # fmt: skip
SCRATCH = ["~model.init", "~model.freeze_bn", "~model.freeze_trunk"]
CLIPS = ("a", "b", "c", "quiet")
SECONDS = 3.0


def render(folder: Path) -> Path:
    """Three clips with sound, and one without."""
    folder.mkdir(parents=True)
    for number, name in enumerate(CLIPS):
        rendered.bounce(folder / f"{name}.mp4", seconds=SECONDS, seed=number, size=48, clicks=name != "quiet")
    rendered.numbered(folder / "quiet.mp4", frames=60, size=(48, 48))
    rendered.bounce(folder / "film.mp4", seconds=5, seed=9, size=48)
    rendered.numbered(folder / "quiet-film.mp4", frames=150, size=(48, 48))
    rendered.bounce(folder / "ten.mp4", seconds=10, seed=10, size=48)
    rendered.numbered(folder / "quiet-ten.mp4", frames=300, size=(48, 48))
    return folder


def link(source: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, path)
    return path


def kinetics(root: Path, clips: Path) -> Path:
    labels = ("blowing nose", "bowling", "abseiling", "bowling")
    for split, count in (("train", 8), ("val", 4)):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for number in range(count):
            label, name = labels[number % 4], f"-id{split}{number:02d}x"[:11]
            rows.append(f"{label},{name},{number},{number + 10},{split}")
            clip = root / split / label / f"{name}_{number:06d}_{number + 10:06d}.mp4"
            link(clips / f"{CLIPS[number % 4]}.mp4", clip)
        (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def kinetics_sounds(root: Path, clips: Path) -> Path:
    return kinetics(root, clips)


def epic55(root: Path, clips: Path) -> Path:
    rows = [
        "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,verb,verb_class,"
        "noun,noun_class,all_nouns,all_noun_classes"
    ]
    uid = 0
    for person, clip in (("P01", "a"), ("P02", "b"), ("P26", "c"), ("P30", "quiet")):
        link(clips / f"{clip}.mp4", root / person / "videos" / f"{person}_01.MP4")
        for number in range(4):
            begin = 0.3 * number
            rows.append(
                f"{uid},{person},{person}_01,open door,00:00:{begin:05.2f},00:00:{begin + 1.2:05.2f},1,90,open,"
                f"{number},door,{8 + number},['door'],[{8 + number}]"
            )
            uid += 1
    (root / "EPIC_train_action_labels.csv").write_text("\n".join(rows) + "\n")
    return root


def epic100(root: Path, clips: Path) -> Path:
    """Two participants to train on, one of them in frames with the sound of the video, and two to validate on."""
    columns = (
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
        "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
    )
    splits = {"train": (("P01_01", "a"), ("P02_102", "b")), "validation": (("P18_02", "c"), ("P26_103", "quiet"))}
    for split, videos in splits.items():
        rows = [columns]
        for video, clip in videos:
            link(clips / f"{clip}.mp4", root / video[:3] / "videos" / f"{video}.MP4")
            for number in range(4):
                begin = 0.3 * number
                rows.append(
                    f"{video}_{number},{video[:3]},{video},00:00:00.5,00:00:{begin:05.2f},00:00:{begin + 1.2:05.2f},1,"
                    f"90,open door,open,{number},door,{3 + number},['door'],[{3 + number}]"
                )
        (root / f"EPIC_100_{split}.csv").write_text("\n".join(rows) + "\n")
    folder = root / "P01" / "rgb_frames" / "P01_01"
    folder.mkdir(parents=True)
    with av.open(str(clips / "a.mp4")) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    for number in range(60 * int(SECONDS)):  # each of the 30 per second twice
        pixels = frames[min(number // 2, len(frames) - 1)]
        (folder / f"frame_{number + 1:010d}.jpg").write_bytes(rendered.coded(pixels, png=False))
    return root


def charades(root: Path, clips: Path) -> Path:
    for split in ("train", "test"):
        rows = ["id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"]
        for number in range(4):
            name = f"{'T' if split == 'train' else 'V'}A{number}BC"
            link(clips / f"{CLIPS[number]}.mp4", root / "Charades_v1_480" / f"{name}.mp4")
            actions = f"c{number:03d} 0.00 1.50;c{10 + number:03d} 1.00 9.90"
            rows.append(f"{name},HR43,Hallway,6,7,Yes,A script.,food;stove,A person.,{actions},3.00")
        (root / f"Charades_v1_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def ava(root: Path, clips: Path) -> Path:
    for split, films in (("train", ("-5KQ66BBWC4", "filmtwo0000")), ("val", ("1j20qq1JyX4",))):
        rows, found = [], []
        for film in films:
            clip = "quiet-film" if film == "filmtwo0000" else "film"
            link(clips / f"{clip}.mp4", root / "videos_15min" / f"{film}.mp4")
            # Real lists start at 902 s, 2 s into the cut; the last seconds lie past the end of these short ones.
            for second in (902, 903):
                for person, action in ((1, 12), (1, 80), (2, 11)):
                    left = 0.1 + 0.3 * (person - 1)
                    rows.append(f"{film},{second:04d},{left:.3f},0.200,{left + 0.4:.3f},0.900,{action},{person}")
                for left, score in ((0.11, 0.99), (0.42, 0.85), (0.6, 0.3)):
                    found.append(f"{film},{second:04d},{left:.3f},0.210,{left + 0.39:.3f},0.890,,{score}")
        for version in ("2.1", "2.2"):
            folder = root / "annotations"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"ava_{split}_v{version}.csv").write_text("\n".join(rows) + "\n")
            (folder / f"ava_{split}_excluded_timestamps_v{version}.csv").write_text("5BDj0ow5hnA,1038\n")
        if split == "val":
            (root / "annotations" / "ava_val_predicted_boxes.csv").write_text("\n".join(found) + "\n")
    return root


def ucf101(root: Path, clips: Path) -> Path:
    classes = (("ApplyEyeMakeup", 1), ("ApplyLipstick", 2))
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for name, number in classes:
        for group in range(1, 5):
            file = f"v_{name}_g{group:02d}_c01.avi"
            link(clips / f"{CLIPS[group - 1]}.mp4", root / "UCF-101" / name / file)
            if group > 2:
                rows["test"].append(f"{name}/{file}")
            else:
                rows["train"].append(f"{name}/{file} {number}")
    for fold in (1, 2, 3):
        (lists / f"trainlist0{fold}.txt").write_text("\r\n".join(rows["train"]) + "\r\n", newline="")
        (lists / f"testlist0{fold}.txt").write_text("\r\n".join(rows["test"]) + "\r\n", newline="")
    return root


def hmdb51(root: Path, clips: Path) -> Path:
    from slowfast_cli.corpora import labels

    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for name in labels.names("hmdb51"):
        rows = []
        if name in ("brush_hair", "cartwheel"):
            for number in range(6):
                file = f"(Rad)Schlag!_{name}_[x]_{number}.avi"
                link(clips / f"{CLIPS[number % 4]}.mp4", root / "hmdb51_org" / name / file)
                rows.append(f"{file} {1 if number < 4 else 2} ")
        for fold in (1, 2, 3):
            (lists / f"{name}_test_split{fold}.txt").write_text("".join(f"{row}\n" for row in rows))
    return root


def ssv2(root: Path, clips: Path) -> Path:
    templates = ("Holding [something] next to [something]", "Spreading [something] onto [something]")
    (root / "labels").mkdir(parents=True)
    for split, count in (("train", 8), ("validation", 4)):
        rows = []
        for number in range(count):
            name = f"{len(split)}{number:04d}"
            link(clips / f"{CLIPS[number % 4]}.mp4", root / "20bn-something-something-v2" / f"{name}.webm")
            rows.append({"id": name, "label": "holding it", "template": templates[number % 2], "placeholders": ["it"]})
        (root / "labels" / f"{split}.json").write_text(json.dumps(rows))
    return root


def ave(root: Path, clips: Path) -> Path:
    rows = {
        "train": [("ten", "Bark", "3jS8tWfLJxI", 7, 9), ("quiet-ten", "Church bell", "MH3m4AwEcRY", 6, 8)],
        "val": [("ten", "Bark", "E_1Asfq8it4", 0, 3)],
        "test": [("ten", "Church bell", "-J2WJaG1Dd4", 0, 10)],
    }
    for split, events in rows.items():
        for clip, _, video, _, _ in events:
            link(clips / f"{clip}.mp4", root / "AVE" / f"{video}.mp4")
        lines = [f"{category}&{video}&good&{start}&{stop}\n" for _, category, video, start, stop in events]
        (root / f"{split}Set.txt").write_text("".join(lines))
    return root


def own(root: Path, clips: Path) -> Path:
    for part, count in (("train", 4), ("val", 2)):
        for number in range(count):
            for label in ("left", "right"):
                link(clips / f"{CLIPS[number % 4]}.mp4", root / part / label / f"{part}{number}.mp4")
    return root


MAKERS = {
    "kinetics": kinetics, "kinetics-av": kinetics, "kinetics-audio": kinetics, "kinetics-sounds": kinetics_sounds,
    "kinetics-ssl": kinetics, "kinetics700": kinetics, "ssv2": ssv2, "epic-video": epic100,
    "epic-av": epic100, "epic55-av": epic55, "charades-av": charades,
    "ava": ava, "ava-av": ava, "ucf101": ucf101, "hmdb51": hmdb51, "ave": ave, "folder-video": own,
}  # fmt: skip
