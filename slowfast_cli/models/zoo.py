"""The published networks, one line each."""

from __future__ import annotations

from dataclasses import replace

from slowfast_cli.models.spec import Lateral, Net, Pathway, Stage

R26 = (2, 2, 2, 2)
R101 = (3, 4, 23, 3)

# ASF Table 1: alpha = 4, beta = 8.
SLOW = Pathway(stride=4, width=64, time=(1, 1, 1, 3, 3))
FAST = Pathway(stride=1, width=8, time=(5, 3, 3, 3, 3))
F2S = Lateral(src="fast", dst="slow", kernel=7)

# The printed rows of the Slow stream alone read a spectrogram made with a 4x longer hop, so they keep every frame of
# it; "-strided" is the text's variant: one frame in 4 of the common spectrogram (ASF Sec. 3).
SLOW_ALONE = replace(SLOW, stride=1)

# Not published: half as deep and narrow, beta = 2, for a few hundred clips.
SMALL_SLOW, SMALL_FAST = replace(SLOW, width=16, depth=R26), replace(FAST, width=8, depth=R26)

# ASF Table 4: ResNet50 as He et al. have it, and the same with its 3x3 kernels split in time and frequency.
RESNET = Pathway(time=(7, 3, 3, 3, 3), time_in="middle", halve_time=("res3", "res4", "res5"))

# SF Table 1: time is never halved in a stage. TxTAU: T frames of the Slow stream, TAU apart; alpha 8 at 4x16, else 4.
SEEN_SLOW = Pathway(reads="frames", stem="space", width=64, time=(1, 1, 1, 3, 3))
SEEN_FAST = replace(SEEN_SLOW, width=8, time=(5, 3, 3, 3, 3))


def seen(alpha: int, kernel: int, **changes: object) -> Net:
    """SlowFast on frames.

    Args:
        alpha: Fast frames for a slow one.
        kernel: Of the laterals.
        **changes: To both pathways.
    """
    slow, fast = replace(SEEN_SLOW, stride=alpha, **changes), replace(SEEN_FAST, **changes)  # type: ignore[arg-type]
    lateral = Lateral(src="fast", dst="slow", kernel=kernel)
    return Net(pathways={"slow": slow, "fast": fast}, laterals={"f2s": lateral}, window=7)


def fused(net: Net, **changes: object) -> Net:
    """The same with other fast-to-slow laterals."""
    return replace(net, laterals={"f2s": replace(net.laterals["f2s"], **changes)})  # type: ignore[arg-type]


def attending(net: Net, res3: tuple[int, ...], res4: tuple[int, ...], pool: tuple[int, int, int] = (1, 2, 2)) -> Net:
    """The same with Non-Local blocks after some bottlenecks of the Slow stream."""
    slow = replace(net.pathways["slow"], attend=((), res3, res4, ()), attend_pool=pool)
    return replace(net, pathways={**net.pathways, "slow": slow})


# Released R101s: "50-50" has the temporal kernel in 6 of res4's 23 bottlenecks, as R50 does; "101-101" in all.
SF_4X16, SF_8X8 = seen(8, 5), seen(4, 7)
SF_R101 = seen(4, 5, depth=R101, time_blocks=(3, 4, 6, 3))
SF_R101_ALL = seen(4, 5, depth=R101)

# AV Table 1 in the reading that gives the printed GFLOPs: res2 keeps its size, blocks are split side by side and
# concatenated, fast features join only where sound does. beta_A = width / 64.
HEARD = Pathway(
    width=32,
    stem="split",
    time=(9, 3, 3, 3, 3),
    time_in="middle",
    halve_time=("res3", "res4", "res5"),
    split=("res2", "res3"),
    absent="everywhere",
)
LEVELS: tuple[Stage, ...] = ("res3", "res4")


def audiovisual(base: Net, alpha: int, after: tuple[Stage, ...] = LEVELS, taps: tuple[Stage, ...] = ("res5",)) -> Net:
    """AVSlowFast: sound is added to what Slow and Fast have joined (A->FS, AV Sec. 3.4).

    Args:
        base: SlowFast on frames.
        alpha: alpha_A: rows of the log-mel for a slow frame.
        after: Stages after which they join; at the end they are concatenated anyhow (pool5).
        taps: Stages whose features are only compared, for AV-sync.
    """
    sound = replace(HEARD, depth=base.pathways["slow"].depth)
    f2s = replace(base.laterals["f2s"], after=after, taps=taps)
    a2s = Lateral(
        src="audio", dst="slow", after=after, taps=taps, kind="pooled-convs", join="sum", kernel=5, alpha=alpha
    )
    return replace(base, pathways={**base.pathways, "audio": sound}, laterals={"f2s": f2s, "a2s": a2s})


def louder(net: Net, **changes: object) -> Net:
    """The same with another audio pathway."""
    return replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], **changes)})  # type: ignore[arg-type]


def detector(net: Net, regions: str = "aligned") -> Net:
    """The same for boxes: res5 keeps its size and is dilated (SF Sec. 4, AV App. A.7)."""
    paths = {
        name: replace(path, halve_space=("res3", "res4"), dilated=("res5",)) if path.reads == "frames" else path
        for name, path in net.pathways.items()
    }
    return replace(net, pathways=paths, regions=regions)  # type: ignore[arg-type]


AV_4X16, AV_8X8, AV_16X4 = audiovisual(SF_4X16, 32), audiovisual(SF_8X8, 16), audiovisual(seen(2, 7), 8)
AV_R101 = audiovisual(fused(SF_R101, kernel=7), 16)
A2F = replace(AV_4X16.laterals["a2s"], dst="fast", alpha=4, taps=())
R101_NL = ((), (6, 13, 20))  # AV uses them in res4 only (App. A.4)

# HARES Table 5 in the reading of the released code, whose last convolution doubles the features and gives the printed
# 63 M parameters; "-table5" is the printed table's, with features of 1728.
NF_SLOW = Pathway(
    width=128,
    stem="nfnet",
    stem_time=(1, 1, 1, 3),
    time=(1, 1, 1, 3, 3),
    block="nfnet",
    widths=(256, 512, 1536, 1536),
    depth=(1, 2, 6, 3),
    group=128,
    drop=0.1,
    final=2,
)
NF_FAST = replace(
    NF_SLOW,
    width=16,
    stem_time=(3, 1, 1, 3),
    time=(1, 3, 3, 3, 3),
    widths=(32, 64, 192, 192),
    group=16,
)
NF_F2S = replace(F2S, widths=(64, 256, 512, 1024))
SF_NFNET = Net(
    pathways={"fast": NF_FAST, "slow": replace(NF_SLOW, stride=4, pick="largest")},
    laterals={"f2s": NF_F2S},
    standardise=True,
)

# NFNet-F0 as Brock et al. 2021b have it: square kernels, and every stage but the first halves time too.
NFNET = replace(
    NF_SLOW,
    stem_time=(3, 3, 3, 3),
    time=(3, 3, 3, 3, 3),
    time_in="middle",
    halve_time=("res3", "res4", "res5"),
    final_gain=True,
)


def sounding(name: str, net: Net, **changes: object) -> dict[str, Net]:
    """A network of HARES: its clips standardised, its pathways changed."""
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
    # SF Table 5: single streams, which look at every frame they are given, and ways to join two.
    "slow-r50": Net(pathways={"slow": SEEN_SLOW}, window=7),
    "fast-r50": Net(pathways={"fast": SEEN_FAST}, window=7),
    "slowfast-4x16-r50": SF_4X16,
    "slowfast-4x16-r50-apart": replace(SF_4X16, laterals={}),
    "slowfast-4x16-r50-to-channel-sum": fused(SF_4X16, kind="time-to-channel", join="sum"),
    "slowfast-4x16-r50-to-channel": fused(SF_4X16, kind="time-to-channel"),
    "slowfast-4x16-r50-sample": fused(SF_4X16, kind="time-sample"),
    "slowfast-4x16-r50-conv-sum": fused(SF_4X16, join="sum"),
    "slowfast-8x8-r50": SF_8X8,
    "slowfast-8x8-r50-nl": attending(SF_8X8, (1, 3), (1, 3, 5)),
    "slowfast-8x8-r50-nl-released": attending(fused(SF_8X8, kernel=5), (1, 3), (1, 3, 5)),  # PySlowFast's laterals
    "slowfast-8x8-r101": SF_R101,
    "slowfast-8x8-r101-all": SF_R101_ALL,
    "slowfast-8x8-r101-nl": attending(SF_R101, *R101_NL),
    "slowfast-16x8-r50": SF_8X8,
    "slowfast-16x8-r101": SF_R101,
    "slowfast-16x8-r101-nl": attending(SF_R101, *R101_NL),
    # AV Tables 3, 5 and 6.
    "avslowfast-4x16-r50": AV_4X16,
    "avslowfast-4x16-r50-a-f-s": replace(
        AV_4X16, laterals={"a2f": A2F, "f2s": replace(SF_4X16.laterals["f2s"], after=LEVELS)}
    ),
    "avslowfast-4x16-r50-attention": replace(
        AV_4X16, laterals={**AV_4X16.laterals, "a2s": replace(AV_4X16.laterals["a2s"], kind="attention")}
    ),
    "avslowfast-4x16-r50-pool5": audiovisual(SF_4X16, 32, ()),
    "avslowfast-4x16-r50-res4": audiovisual(SF_4X16, 32, ("res4",)),
    "avslowfast-4x16-r50-res234": audiovisual(SF_4X16, 32, ("res2", "res3", "res4")),
    "avslowfast-4x16-r50-beta8": louder(AV_4X16, width=8),
    "avslowfast-4x16-r50-beta4": louder(AV_4X16, width=16),
    "avslowfast-4x16-r50-beta1": louder(AV_4X16, width=64),
    "avslowfast-8x8-r50": AV_8X8,
    "avslowfast-16x4-r50": AV_16X4,
    "avslowfast-8x8-r101": AV_R101,
    "avslowfast-8x8-r101-all": audiovisual(fused(SF_R101_ALL, kernel=7), 16),
    "avslowfast-8x8-r101-nl": attending(AV_R101, *R101_NL),
    "avslowfast-16x8-r101": AV_R101,
    "avslowfast-16x8-r101-nl": attending(AV_R101, *R101_NL),
    # AV Tables 8, A.1 and A.2: nothing joins before the end; pretraining compares sound and pictures beside.
    "avslowfast-4x16-r50-late": replace(AV_4X16, laterals={}),
    "avslowfast-8x8-r50-late": replace(AV_8X8, laterals={}),
    "avslowfast-16x4-r50-late": replace(AV_16X4, laterals={}),
    "avslowfast-4x16-r50-sync": audiovisual(SF_4X16, 32, (), (*LEVELS, "res5")),
    "avslowfast-8x8-r50-sync": audiovisual(SF_8X8, 16, (), (*LEVELS, "res5")),
    "avslowfast-16x4-r50-sync": audiovisual(seen(2, 7), 8, (), (*LEVELS, "res5")),
    # AV Table A.3: beta_A = 1, split in res2 only, is what its GFLOPs fit; "audio-r50-half" is the model's own pathway.
    "audio-r50": Net(pathways={"audio": replace(HEARD, width=64, split=("res2",), absent="nowhere")}),
    "audio-r50-half": Net(pathways={"audio": replace(HEARD, absent="nowhere")}),
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
    **sounding("sf-r50-bn", SF_R50),
    **sounding("sf-r50-ln", SF_R50, norm="layer"),
    **sounding("sf-r50-in", SF_R50, norm="instance"),
    **sounding("sf-r50-no-norm", SF_R50, norm="none"),
    **sounding("sf-nf-r50", SF_R50, block="nf-resnet", drop=0.1),
    **sounding("resnet50-standardised", VARIANTS["resnet50"]),
    **sounding("sf-small", VARIANTS["asf-small"]),  # not published
}
VARIANTS |= {
    f"{name}-ava": detector(VARIANTS[name])
    for name in (
        "slow-r50",
        "slowfast-4x16-r50",
        "slowfast-8x8-r50",
        "slowfast-8x8-r101",
        "slowfast-8x8-r101-nl",
        "avslowfast-4x16-r50",
        "avslowfast-8x8-r50",
        "avslowfast-8x8-r101",
        "avslowfast-8x8-r101-nl",
    )
}
