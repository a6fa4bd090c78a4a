"""Suffixes of media files, lower-case; `slowfast_cli.types` re-exports them."""


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


# What the decoders tell by the content of a file; not headerless formats, and not what rarely is a recording (.dat).
AUDIO_SUFFIXES = _suffixes(
    "wav wave bwf rf64 w64 flac ogg oga opus spx mp3 mp2 mpa m2a m4a m4b m4r aac adts aif aiff aifc au snd caf wma "
    "amr awb 3ga ac3 eac3 ec3 ac4 dts dtshd mlp thd ape tta wv tak mpc shn ra mka weba oma aa3 qcp dsf dff qoa voc sph "
    "nist svx 8svx iff avr paf pvf ircam sds wve"
)
VIDEO_SUFFIXES = _suffixes(
    "mp4 m4v mkv mk3d avi webm mov qt mpg mpeg m1v m2v mpv vob ts mts m2ts m2t 3gp 3g2 flv f4v wmv asf ogv mxf rm rmvb "
    "divx dv mjpeg mjpg gif nut y4m ivf obu h261 h264 264 avc h265 265 hevc h266 266 vvc wtv nsv amv mj2 ismv"
)
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES
