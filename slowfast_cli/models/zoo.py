"""The published networks, one line each."""

from __future__ import annotations

from dataclasses import replace

from slowfast_cli.models.spec import Lateral, Net, Pathway

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

VARIANTS: dict[str, Net] = {
    "asf-r50": Net(pathways={"slow": SLOW, "fast": FAST}, laterals={"f2s": F2S}),
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
}
