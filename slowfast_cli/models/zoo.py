"""The published SlowFast networks, one line each."""

from dataclasses import replace

from slowfast_cli.models.spec import Lateral, Net, Pathway, Stage

R26 = (2, 2, 2, 2)
R101 = (3, 4, 23, 3)

# ASF Table 1: alpha = 4, beta = 8.
SLOW = Pathway(stride=4, width=64, time=(1, 1, 1, 3, 3))
FAST = Pathway(stride=1, width=8, time=(5, 3, 3, 3, 3))
F2S = Lateral(src="fast", dst="slow", kernel=7)

# The published Slow-only rows read a spectrogram with a 4x longer hop and keep every frame of it; "-strided" is the
# variant of the text: one frame in 4 of the common spectrogram (ASF Sec. 3).
SLOW_ALONE = replace(SLOW, stride=1)

# Not published: about half the depth, a quarter of the width, beta = 2, for data sets of a few hundred clips.
SMALL_SLOW, SMALL_FAST = replace(SLOW, width=16, depth=R26), replace(FAST, width=8, depth=R26)

# ASF Table 4: ResNet50 of He et al.; "-separable" has its 3x3 kernels split into time and frequency.
RESNET = Pathway(time=(7, 3, 3, 3, 3), time_in="middle", halve_time=("res3", "res4", "res5"))

# SF Table 1: no stage strides time. TxTAU: T frames in the Slow pathway, TAU apart; alpha is 8 at 4x16, else 4.
VIDEO_SLOW = Pathway(reads="frames", stem="space", width=64, time=(1, 1, 1, 3, 3))
VIDEO_FAST = replace(VIDEO_SLOW, width=8, time=(5, 3, 3, 3, 3))


def video_slowfast(alpha: int, kernel: int, **changes: object) -> Net:
    """Build a video SlowFast network with ``alpha`` Fast frames per Slow frame; ``changes`` apply to both pathways."""
    slow, fast = replace(VIDEO_SLOW, stride=alpha, **changes), replace(VIDEO_FAST, **changes)  # type: ignore[arg-type]
    lateral = Lateral(src="fast", dst="slow", kernel=kernel)
    return Net(pathways={"slow": slow, "fast": fast}, laterals={"f2s": lateral}, window=7)


def with_f2s(net: Net, **changes: object) -> Net:
    """Replace fields of the fast-to-slow lateral."""
    return replace(net, laterals={"f2s": replace(net.laterals["f2s"], **changes)})  # type: ignore[arg-type]


def with_nonlocal(net: Net, res3: tuple[int, ...], res4: tuple[int, ...]) -> Net:
    """Add non-local blocks after the given bottlenecks of the Slow pathway."""
    slow = replace(net.pathways["slow"], attend=((), res3, res4, ()))
    return replace(net, pathways={**net.pathways, "slow": slow})


# Released R101s: "50-50" has the temporal kernel in 6 of res4's 23 bottlenecks, as R50 does; "101-101" in all.
SF_4X16, SF_8X8 = video_slowfast(8, 5), video_slowfast(4, 7)
SF_R101 = video_slowfast(4, 5, depth=R101, time_blocks=(3, 4, 6, 3))
SF_R101_ALL = video_slowfast(4, 5, depth=R101)

# AV Table 1, interpreted so that it gives the published GFLOPs: res2 has stride 1, parallel convolutions are
# concatenated, and fast features are fused only where audio is. beta_A = width / 64.
AUDIO = Pathway(
    width=32, stem="split", time=(9, 3, 3, 3, 3), time_in="middle", halve_time=("res3", "res4", "res5"),
    split=("res2", "res3"), absent="everywhere",
)  # fmt: skip
FUSED: tuple[Stage, ...] = ("res3", "res4")


def audiovisual(
    base: Net, alpha: int, after: tuple[Stage, ...] = FUSED, taps: tuple[Stage, ...] = ("res5",), inner: int = 64
) -> Net:
    """Build AVSlowFast: audio is added to the fused Slow and Fast features (A->FS, AV Sec. 3.4).

    Args:
        base: A video SlowFast network.
        alpha: alpha_A: log-mel frames per Slow frame.
        after: Stages with fusion, besides the concatenation of the final features (pool5).
        taps: Stages whose features only AV-sync compares.
        inner: Channels between the two convolutions of the audio lateral.
    """
    audio = replace(AUDIO, depth=base.pathways["slow"].depth)
    f2s = replace(base.laterals["f2s"], after=after, taps=taps)
    a2s = Lateral(
        src="audio", dst="slow", after=after, taps=taps, kind="pooled-convs", join="sum", kernel=5, inner=inner,
        alpha=alpha,
    )  # fmt: skip
    return replace(base, pathways={**base.pathways, "audio": audio}, laterals={"f2s": f2s, "a2s": a2s})


def with_audio(net: Net, **changes: object) -> Net:
    """Replace fields of the audio pathway."""
    return replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], **changes)})  # type: ignore[arg-type]


def detector(net: Net, regions: str = "aligned") -> Net:
    """Turn a network into a detector: res5 has stride 1 and dilation 2 (SF Sec. 4, AV App. A.7)."""
    paths = {
        name: replace(path, halve_space=("res3", "res4"), dilated=("res5",)) if path.reads == "frames" else path
        for name, path in net.pathways.items()
    }
    return replace(net, pathways=paths, regions=regions)  # type: ignore[arg-type]


AV_4X16, AV_8X8, AV_16X4 = audiovisual(SF_4X16, 32), audiovisual(SF_8X8, 16), audiovisual(video_slowfast(2, 7), 8)
AV_R101 = audiovisual(with_f2s(SF_R101, kernel=7), 16)
A2F = replace(AV_4X16.laterals["a2s"], dst="fast", alpha=4, taps=())

# Not published: one bottleneck a stage, a quarter of the width, beta = 2, beta_A = 1/2, for training on a CPU with
# clips of 16 frames of 112 x 112.
SF_SMALL = video_slowfast(4, 5, depth=(1, 1, 1, 1))
SF_SMALL = replace(SF_SMALL, pathways={**SF_SMALL.pathways, "slow": replace(SF_SMALL.pathways["slow"], width=16)})
AV_SMALL = with_audio(audiovisual(SF_SMALL, 32, taps=(), inner=16), width=8)

R101_NL = ((), (6, 13, 20))  # non-local blocks in res4 only (AV App. A.4)

# HARES Table 5 as in the released code, whose last convolution doubles the features and gives the published 63 M
# parameters; "-table5" follows the printed table, with features of 1728.
NF_SLOW = Pathway(
    width=128, stem="nfnet", stem_time=(1, 1, 1, 3), time=(1, 1, 1, 3, 3), block="nfnet", widths=(256, 512, 1536, 1536),
    depth=(1, 2, 6, 3), group=128, drop=0.1, final=2,
)  # fmt: skip
NF_FAST = replace(NF_SLOW, width=16, stem_time=(3, 1, 1, 3), time=(1, 3, 3, 3, 3), widths=(32, 64, 192, 192), group=16)
NF_F2S = replace(F2S, widths=(64, 256, 512, 1024))
SF_NFNET = Net(
    pathways={"fast": NF_FAST, "slow": replace(NF_SLOW, stride=4, pick="largest")},
    laterals={"f2s": NF_F2S},
    standardise=True,
)

# NFNet-F0 of Brock et al. 2021b: square kernels, and stride 2 in time too in every stage but the first.
NFNET = replace(
    NF_SLOW, stem_time=(3, 3, 3, 3), time=(3, 3, 3, 3, 3), time_in="middle", halve_time=("res3", "res4", "res5"),
    final_gain=True,
)  # fmt: skip


def hares(name: str, net: Net, **changes: object) -> dict[str, Net]:
    """Name a HARES network: standardized input, and fields replaced in all pathways."""
    paths = {key: replace(path, **changes) for key, path in net.pathways.items()}  # type: ignore[arg-type]
    return {name: replace(net, pathways=paths, standardise=True)}


SF_R50 = Net(pathways={"slow": SLOW, "fast": FAST}, laterals={"f2s": F2S})

VARIANTS: dict[str, Net] = {
    "asf-r50": SF_R50,
    "asf-late-r50": Net(pathways={"slow": SLOW, "fast": FAST}, merge="average"),
    "asf-fast-r50": Net(pathways={"fast": FAST}),
    "asf-slow-r50": Net(pathways={"slow": SLOW_ALONE}),
    "asf-slow-r101": Net(pathways={"slow": replace(SLOW_ALONE, depth=R101)}),
    "asf-two-slow-r50": Net(pathways={"slow": SLOW_ALONE, "slow2": SLOW_ALONE}, merge="average"),
    "asf-slow-r50-strided": Net(pathways={"slow": SLOW}),
    "asf-slow-r101-strided": Net(pathways={"slow": replace(SLOW, depth=R101)}),
    "asf-two-slow-r50-strided": Net(pathways={"slow": SLOW, "slow2": SLOW}, merge="average"),
    "asf-small": Net(pathways={"slow": SMALL_SLOW, "fast": SMALL_FAST}, laterals={"f2s": F2S}),
    "resnet50": Net(pathways={"audio": RESNET}),
    "resnet50-separable": Net(pathways={"audio": replace(RESNET, time_in="first")}),
    "slowfast-small": SF_SMALL,
    "avslowfast-small": AV_SMALL,
    # SF Table 5: single pathways, without subsampling, and kinds of fusion.
    "slow-r50": Net(pathways={"slow": VIDEO_SLOW}, window=7),
    "fast-r50": Net(pathways={"fast": VIDEO_FAST}, window=7),
    "slowfast-4x16-r50": SF_4X16,
    "slowfast-4x16-r50-apart": replace(SF_4X16, laterals={}),
    "slowfast-4x16-r50-to-channel-sum": with_f2s(SF_4X16, kind="time-to-channel", join="sum"),
    "slowfast-4x16-r50-to-channel": with_f2s(SF_4X16, kind="time-to-channel"),
    "slowfast-4x16-r50-sample": with_f2s(SF_4X16, kind="time-sample"),
    "slowfast-4x16-r50-conv-sum": with_f2s(SF_4X16, join="sum"),
    "slowfast-8x8-r50": SF_8X8,
    "slowfast-8x8-r50-nl": with_nonlocal(SF_8X8, (1, 3), (1, 3, 5)),
    "slowfast-8x8-r50-nl-released": with_nonlocal(
        with_f2s(SF_8X8, kernel=5), (1, 3), (1, 3, 5)
    ),  # kernel 5 as released
    "slowfast-8x8-r101": SF_R101,
    "slowfast-8x8-r101-all": SF_R101_ALL,
    "slowfast-8x8-r101-nl": with_nonlocal(SF_R101, *R101_NL),
    "slowfast-16x8-r50": SF_8X8,
    "slowfast-16x8-r101": SF_R101,
    "slowfast-16x8-r101-nl": with_nonlocal(SF_R101, *R101_NL),
    # AV Tables 3, 5 and 6.
    "avslowfast-4x16-r50": AV_4X16,
    "avslowfast-4x16-r50-a-f-s": replace(
        AV_4X16, laterals={"a2f": A2F, "f2s": replace(SF_4X16.laterals["f2s"], after=FUSED)}
    ),
    "avslowfast-4x16-r50-attention": replace(
        AV_4X16, laterals={**AV_4X16.laterals, "a2s": replace(AV_4X16.laterals["a2s"], kind="attention")}
    ),
    "avslowfast-4x16-r50-pool5": audiovisual(SF_4X16, 32, ()),
    "avslowfast-4x16-r50-res4": audiovisual(SF_4X16, 32, ("res4",)),
    "avslowfast-4x16-r50-res234": audiovisual(SF_4X16, 32, ("res2", "res3", "res4")),
    "avslowfast-4x16-r50-beta8": with_audio(AV_4X16, width=8),
    "avslowfast-4x16-r50-beta4": with_audio(AV_4X16, width=16),
    "avslowfast-4x16-r50-beta1": with_audio(AV_4X16, width=64),
    "avslowfast-8x8-r50": AV_8X8,
    "avslowfast-16x4-r50": AV_16X4,
    "avslowfast-8x8-r101": AV_R101,
    "avslowfast-8x8-r101-all": audiovisual(with_f2s(SF_R101_ALL, kernel=7), 16),
    "avslowfast-8x8-r101-nl": with_nonlocal(AV_R101, *R101_NL),
    "avslowfast-16x8-r101": AV_R101,
    "avslowfast-16x8-r101-nl": with_nonlocal(AV_R101, *R101_NL),
    # AV Tables 8, A.1 and A.2: no fusion before the final features; "-sync" has taps for AV-sync pretraining.
    "avslowfast-4x16-r50-late": replace(AV_4X16, laterals={}),
    "avslowfast-8x8-r50-late": replace(AV_8X8, laterals={}),
    "avslowfast-16x4-r50-late": replace(AV_16X4, laterals={}),
    "avslowfast-4x16-r50-sync": audiovisual(SF_4X16, 32, (), (*FUSED, "res5")),
    "avslowfast-8x8-r50-sync": audiovisual(SF_8X8, 16, (), (*FUSED, "res5")),
    "avslowfast-16x4-r50-sync": audiovisual(video_slowfast(2, 7), 8, (), (*FUSED, "res5")),
    # AV Table A.3: its GFLOPs match beta_A = 1 split in res2 only; "audio-r50-half" is AVSlowFast's own audio pathway.
    "audio-r50": Net(pathways={"audio": replace(AUDIO, width=64, split=("res2",), absent="nowhere")}),
    "audio-r50-half": Net(pathways={"audio": replace(AUDIO, absent="nowhere")}),
}
# HARES Tables 2 and 3.
VARIANTS |= {
    "sf-nfnet-f0": SF_NFNET,
    "sf-nfnet-f0-table5": Net(
        pathways={name: replace(path, final=None) for name, path in SF_NFNET.pathways.items()},
        laterals=SF_NFNET.laterals,
        standardise=True,
    ),
    "slow-nfnet-f0": Net(pathways={"slow": replace(NF_SLOW, final_gain=True)}, standardise=True),
    "fast-nfnet-f0": Net(pathways={"fast": replace(NF_FAST, final_gain=True)}, standardise=True),
    "nfnet-f0": Net(pathways={"audio": NFNET}, standardise=True),
    **hares("sf-r50-bn", SF_R50),
    **hares("sf-r50-ln", SF_R50, norm="layer"),
    **hares("sf-r50-in", SF_R50, norm="instance"),
    **hares("sf-r50-no-norm", SF_R50, norm="none"),
    **hares("sf-nf-r50", SF_R50, block="nf-resnet", drop=0.1),
    **hares("resnet50-standardised", VARIANTS["resnet50"]),
    **hares("sf-small", VARIANTS["asf-small"]),  # not published
}
VARIANTS |= {
    f"{name}-ava": detector(VARIANTS[name])
    for name in (
        "slow-r50", "slowfast-4x16-r50", "slowfast-8x8-r50", "slowfast-8x8-r101", "slowfast-8x8-r101-nl",
        "avslowfast-4x16-r50", "avslowfast-8x8-r50", "avslowfast-8x8-r101", "avslowfast-8x8-r101-nl",
    )
}  # fmt: skip
