"""The suffixes of media files are those of the formats that the decoders read."""

import av
import numpy as np
import pytest
import soundfile
from av.format import ContainerFormat

from slowfast_cli.media import audio, video
from slowfast_cli.types import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES, Recording

# Suffixes that demuxers name, and that are not taken for recordings.
TEXT_AND_SUBTITLES = (
    "ans aqt art asc cgi diz ice idf idx mcc mks mpl2 nfo pjs rt sami sbg scc smi stl sub sup txt vt vtt webvtt"
)
IMAGES = "avif cdg heic heif j2k jxl mpo ism"
# No magic number tells them from other files.
HEADERLESS = (
    "302 722 al aptx aptxhd bit bitpacked c2 cif dat daud dfpwm g722 g723_1 g728 g729 gsm lc3 msbc qcif rco rgb sb sbc "
    "sln sw tco ub ul uw v210 yuv yuv10 adf"
)
GAMES_AND_OTHERS = (
    "aa aax acm adp ads adx aea afc aix apac apc apl ast avs avs2 avs3 bcstm bfstm binka bmv bonk brstm cdata cdxl dav "
    "dif dss dtk evc fap flm fsb fwse genh h26l hca hxvs iamf ifv imx ipu isma ivr kux laf lvf mac mca mods moflex msf "
    "mtaf musx mvi mxg nsp omg osq pdv psp rcv rka rsd rso ser sdns sdr2 sdx sf sga son ss2 str svag svs ty ty+ usm v "
    "apv vag vb vc1 viv vpk vqe vqf vql wa way wsd xl xmd xmv xvag yop"
)
# Formats of libsndfile by suffix; resource forks, matrices, instruments and headerless formats are not.
SOUNDFILE = {"NIST": "sph", "SVX": "svx", "OGG": "ogg", "WAVEX": "wav"}
NOT_SOUND = {"RAW", "MAT4", "MAT5", "MPC2K", "SD2", "HTK", "XI"}


def test_every_format_of_the_decoders_is_listed_or_left_out_by_name():
    left_out = set(" ".join((TEXT_AND_SUBTITLES, IMAGES, HEADERLESS, GAMES_AND_OTHERS)).split())
    known = {suffix[1:] for suffix in MEDIA_SUFFIXES}
    assert not known & left_out
    demuxers = set[str]()
    for name in av.formats_available:
        try:
            demuxers |= ContainerFormat(name, "r").extensions
        except ValueError:  # a muxer
            continue
    assert demuxers - known - left_out == set()
    formats = {SOUNDFILE.get(name, name.lower()) for name in soundfile.available_formats() if name not in NOT_SOUND}
    assert formats - known == set()


def test_kinds_do_not_overlap():
    assert not AUDIO_SUFFIXES & VIDEO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in MEDIA_SUFFIXES)


SAMPLES = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.caf", "CAF"),
        ("x.au", "AU"),
        ("x.snd", "AU"),
        ("x.w64", "W64"),
        ("x.rf64", "RF64"),
        ("x.aiff", "AIFF"),
        ("x.voc", "VOC"),
        ("x.sph", "NIST"),
        ("x.svx", "SVX"),
        ("x.avr", "AVR"),
        ("x.paf", "PAF"),
        ("x.pvf", "PVF"),
        ("x.ircam", "IRCAM"),
    ],
)
def test_formats_of_libsndfile(tmp_path, name, form):
    soundfile.write(tmp_path / name, SAMPLES, 16000, format=form, subtype="PCM_16")
    recording = Recording(id="x", path=tmp_path / name)
    assert recording.path.suffix in AUDIO_SUFFIXES
    assert np.allclose(audio.read(recording, rate=16000), SAMPLES, atol=1e-3)
    assert not audio.probe(recording).truncated


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("x.tta", "tta", None),
        ("x.wv", "wavpack", None),
        ("x.ac3", "ac3", None),
        ("x.mka", "aac", None),
        ("x.mp2", "mp2", None),
        ("x.m4b", "aac", "ipod"),
        ("x.wma", "wmav2", "asf"),
    ],
)
def test_formats_of_ffmpeg(tmp_path, name, codec, form):
    with av.open(str(tmp_path / name), "w", format=form) as out:
        stream = out.add_stream(codec, rate=44100, layout="mono")
        context = stream.codec_context
        context.bit_rate = 128000
        frame = av.AudioFrame.from_ndarray(np.tile(SAMPLES, 3)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        resampler = av.AudioResampler(context.format, "mono", 44100, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    recording = Recording(id="x", path=tmp_path / name)
    assert recording.path.suffix in AUDIO_SUFFIXES
    assert len(audio.read(recording, rate=44100)) == pytest.approx(48000, abs=4000)


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("x.gif", "gif", None),
        ("x.m2ts", "mpeg2video", "mpegts"),
        ("x.vob", "mpeg2video", "vob"),
        ("x.wmv", "wmv2", "asf"),
        ("x.mxf", "mpeg2video", None),
        ("x.y4m", "wrapped_avframe", None),
        ("x.f4v", "libx264", "f4v"),
        ("x.ivf", "libvpx", None),
    ],
)
def test_formats_of_video(tmp_path, name, codec, form):
    with av.open(str(tmp_path / name), "w", format=form) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8" if codec == "gif" else "yuv420p"
        for index in range(25):
            picture = np.full((48, 64, 3), index * 9, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    recording = Recording(id="x", path=tmp_path / name)
    assert recording.path.suffix in VIDEO_SUFFIXES
    assert video.probe(recording).seconds == pytest.approx(1, abs=0.05)
