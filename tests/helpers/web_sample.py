"""A report such as a real one, from nothing: tables, figures, slices and predictions of the right shapes."""

import io
import math

import matplotlib.figure
import numpy as np

from experiments.reporting.content import Figure, Report, Verdict
from experiments.saood2021.evidence import Evidence, Network
from experiments.saood2021.protocol import U_NET_VERSUS_SEGNET
from unet_segnet.data.slices import Slices
from unet_segnet.output.tabular import Signed, Table

HOSTILE = "<script>alert(1)</script>\" onload='x' & \ud800\x00"


def sample_slices(num_slices=100, size=256):
    """Grey lungs with lesions of all classes; slice 0 has none."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    images = np.zeros((num_slices, size, size), np.uint8)
    labels = np.zeros_like(images)
    for i in range(num_slices):
        lung = (np.minimum(np.hypot(x - 0.2, y * 0.7), np.hypot(x + 0.2, y * 0.7)) < 0.17 + 0.02 * np.sin(i)).astype(
            bool
        )
        for kind in (1, 2, 3) if i else ():
            centre = rng.uniform(-0.25, 0.25, 2)
            labels[i][(np.hypot(x - centre[0], y - centre[1]) < 0.12 / kind) & lung] = kind
        noise = rng.normal(0, 6, (size, size))
        images[i] = np.where(lung, np.clip(45 + 40 * labels[i] + noise, 0, 255), 0)
    return Slices(images, labels, None, tuple(f"{i + 1:03}" for i in range(num_slices)))


def sample_networks(test):
    """Two networks of each problem, which shift the labels a little."""
    made = []
    for problem, labels in (("binary", test.binary().labels), ("multiclass", test.labels)):
        for shift, (net, name) in enumerate((("segnet", "SegNet"), ("unet", "U-Net")), start=1):
            predictions = np.roll(labels, 3 * shift, axis=(1, 2))
            made.append(
                Network(f"own-{net}-{problem}", f"{name} exp. 4, ours", net, problem, lambda: None, predictions)
            )
    return tuple(made)


def sample_tables():
    """Wide and narrow, with groups and without, with every kind of cell."""
    scores = ("sensitivity", "specificity", "Dice", "G-mean", "F2")
    rng = np.random.default_rng(1)
    rows3 = tuple(
        (
            net,
            i,
            f"{rate}e-4",
            batch,
            1,
            *rng.uniform(0.8, 0.96, 3),
            *rng.uniform(0.8, 0.96, 3),
            Signed(rng.normal(0, 0.02)),
            mark,
        )
        for net in ("SegNet", "U-Net")
        for i, rate, batch, mark in ((1, 1, 8, None), (2, 5, 8, "val."), (4, 10, 2, "test"))
    )
    rows7 = tuple(
        (
            f"{net}{source}",
            name,
            *(math.nan if name == "C3" and k == 1 else v for k, v in enumerate(rng.uniform(0, 1, 10))),
        )
        for net in ("SegNet exp. 4", "U-Net exp. 4")
        for source in ("", ", published")
        for name in ("C0", "C1", "C2", "C3")
    )
    return {
        "table3": Table(
            "Table 3. Global accuracy, binary problem, variant paper, seed 0, n=18 test slices of COVID19-DL.",
            (
                *("network", "exp.", "ILR", "batch", "runs"),
                *(f"{whose}: {s}" for whose in ("reproduced", "published") for s in ("mean", "sigma", "var")),
                *("diff.", "best"),
            ),
            (*rows3, ("all background", None, None, None, None, 0.9285, 0.071, 0.005, *(None,) * 5)),
            (
                "mean, sigma, var: mean, standard deviation (n - 1) and variance of the global accuracy over the test "
                "slices. ILR: initial learning rate.",
                'best: the configuration with the highest mean on the test slices. "-": not run.',
            ),
        ),
        "table7": Table(
            "Table 7. Class scores over the folds, multiclass problem, variant paper, seed 0, n=100 test slices.",
            ("network", "class", *(f"{score}: {part}" for score in scores for part in ("mean", "sigma"))),
            rows7,
            ("Scores of each class against the rest; mean and sigma over the folds.",),
        ),
        "selection": Table(
            "Chosen on the test slices or on the validation slices, and what that is worth",
            ("network", "chosen on", "exp.", "accuracy"),
            (("SegNet", "test", 4, 0.953), ("SegNet", "validation", 2, 0.949), (HOSTILE, "test", 1, None)),
        ),
    }


def sample_figures():
    """A wide and a tall one."""
    made = []
    for name, title, size in (
        ("figure4", "Figure 4. Training accuracy and loss", (7.2, 4.2)),
        ("contours", "Predicted and true contours on the test slices", (7.2, 9.0)),
    ):
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        for axes in figure.subplots(2, 1):
            axes.plot(np.sin(np.arange(400) / 30), label="ours")
            axes.set_xlabel("iteration")
            axes.legend()
        caption = (
            "Moving average of 18 iterations over the raw values; SegNet and U-Net, configuration 4, seed 0, on 72 "
            "training slices of COVID19-DL. Dashed: the authors' released curves."
        )
        made.append(Figure(name, title, caption, figure, f"Two stacked line plots: {title}"))
    return tuple(made)


def sample_images(figures):
    """Their PNG files."""
    images = {}
    for figure in figures:
        stream = io.BytesIO()
        figure.figure.savefig(stream, format="png", dpi=150)
        images[figure.name] = stream.getvalue()
    return images


def sample_verdicts():
    """One of each kind, with the longest texts that are to be expected."""
    return (
        Verdict(
            "segnet-wins-binary",
            "SegNet beats U-Net in binary segmentation by a noticeable margin, except in sensitivity and G-mean.",
            "SegNet surpasses U-NET with noticeable margins",
            "Discussion, first paragraph; Table 4",
            "does not replicate",
            "training",
            "Over the 18 test slices SegNet reaches a Dice of 0.746 (95 % interval 0.69 to 0.79) and U-Net 0.741; the "
            "paired difference is 0.005, Wilcoxon p = 0.61 after Holm's correction.",
        ),
        Verdict(
            "accuracy-shows-quality",
            "A global accuracy of 0.95 (binary) and 0.91 (multiclass) shows that the segmentation is good.",
            "they still indicate that the networks are solid performers",
            "Abstract; Conclusion",
            "does not replicate",
            "tables",
            "Calling every pixel background gives 0.9285 on the same slices.",
        ),
        Verdict(
            "encoder-vgg16",
            "The encoder of the SegNet is that of VGG16, with 1.47e7 parameters.",
            "The encoder layers are identical to the convolutional layers of the VGG16 network.",
            "Methods, SegNet",
            "replicates",
            "release",
            "The encoder built from the article's description has 14,714,688 parameters.",
        ),
        Verdict(
            "beats-others",
            f"The results exceed those of the four works that the article compares itself with. {HOSTILE}",
            f"enhancements over others {HOSTILE}",
            "Table 8",
            "cannot be decided",
            "",
            "The four works were tested on slices of other patients, none of which are part of this data set.",
            "The networks of all five works on one and the same test set.",
        ),
    )


def sample_report(slices=None):
    """The whole of it."""
    from experiments.saood2021.report import slice_views
    from unet_segnet.data import paper_split

    slices = slices or sample_slices()
    networks = sample_networks(slices.subset(paper_split(len(slices)).test))
    missing = (
        "Multiclass U-Net, configurations 5 to 9: not run. `python -m experiments.grid --net unet` brings them.",
    )
    return Report(
        U_NET_VERSUS_SEGNET,
        sample_verdicts(),
        sample_tables(),
        sample_figures(),
        "COVID19-DL",
        missing,
        ("unet_segnet at commit 1234567.", f"Data: COVID19-DL, SHA-256 of slices and labels {'0123456789abcdef' * 4}."),
        {"Binary segmentation": ("table3",), "Five folds": ("table7",), "Training": ("figure4", "contours")},
        tuple(slice_views(Evidence((), slices, "COVID19-DL", networks))),
    )
