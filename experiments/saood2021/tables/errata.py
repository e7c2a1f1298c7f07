"""Slips of the article, each beside what its own tables, the released files or the slices give."""

from __future__ import annotations

import math

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.article import (
    background_accuracy,
    five_fold_means_are_possible,
    follows,
    num_pixels,
    parity_check,
    remaining_pixels,
    vgg16_parameters,
    weights_of_sizes,
)
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, PROBLEMS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.data import RAW_MASKS
from experiments.saood2021.tables.selection import released_accuracies, released_candidates
from unet_segnet.measures import metrics
from unet_segnet.output.tabular import Table

Row = tuple[str, str, str, str, str]


def errata_table(evidence: Evidence) -> Table:
    """Every slip that could be verified: what it is, where, as printed, as computed now, and from what."""
    slips = (
        _effusion_pixels(evidence),
        _truncated_means(),
        _segnet_three(),
        _variances(),
        _sigma_range(),
        _specificity(),
        _wrong_table(),
        _margins(),
        _inf_net(),
        _semi_inf_net(),
        _file_name(),
        _encoder(),
        _loss(),
        _background(),
        _chosen_on_test(),
        _weights(evidence),
        _exchanged_masks(evidence),
    )
    return Table(
        "Slips of the article and of its released files, each computed anew.",
        ("slip", "where", "printed", "correct", "computed from"),
        slips,
        _consistent(),
    )


def _effusion_pixels(evidence: Evidence) -> Row:
    printed = published.class_sizes()["C3"][0]
    masks = None if evidence.folder is None else evidence.folder / RAW_MASKS
    if masks is not None and masks.is_file():
        from unet_segnet.data.balance import class_sizes
        from unet_segnet.data.nifti import read_labels

        correct, source = f"{class_sizes(read_labels(masks), 4)[0][3]:,}", f"the masks of 512x512, {RAW_MASKS}"
    else:
        left, error = remaining_pixels()
        correct = f"{left:,.0f}, give or take {error:,.0f}"
        source = f"what C0 to C2, as printed, leave of {num_pixels():,} pixels"
    return "pixels of C3", "Table 1", f"{printed:,.0f}", correct, source


def _truncated_means() -> Row:
    truncated = rounded = total = 0
    for net in NETS:
        for experiment, accuracy in published.global_accuracy(net, "binary").items():
            if (net, experiment) == ("segnet", 3):
                continue
            mean = released_accuracies(net, experiment).mean()
            truncated += math.floor(mean * 1000) == round(accuracy.mean * 1000)
            rounded += round(mean * 1000) == round(accuracy.mean * 1000)
            total += 1
    return (
        "means cut off instead of rounded",
        "Table 3",
        f"{truncated} of {total} means are the released ones cut off to three digits",
        f"rounding gives {rounded} of them",
        "released scores of each slice",
    )


def _segnet_three() -> Row:
    return (
        "mean accuracy of SegNet, experiment 3",
        "Table 3",
        f"{published.global_accuracy('segnet', 'binary')[3].mean:.3f}",
        f"{released_accuracies('segnet', 3).mean():.4f}",
        "released scores of each slice",
    )


def _variances() -> Row:
    binary, multiclass = (published.global_accuracy("segnet", problem) for problem in PROBLEMS)
    same = sum(binary[e].variance == multiclass[e].variance for e in binary)
    computed = [f"{released_accuracies('segnet', e).var(ddof=1):.4f}" for e in binary]
    return (
        f"variances of SegNet: {same} of {len(binary)} are those of Table 5",
        "Table 3",
        " ".join(f"{accuracy.variance:.3f}" for accuracy in binary.values()),
        " ".join(computed),
        "released scores of each slice",
    )


def _sigma_range() -> Row:
    ranges = {}
    for problem in PROBLEMS:
        values = [a.standard_deviation for net in NETS for a in published.global_accuracy(net, problem).values()]
        ranges[problem] = f"{min(values):.3f} to {max(values):.3f}"
    return (
        "range of the standard deviations of Table 3",
        "Results",
        f"{stated('binary_sigma_lowest'):.3f} to {stated('binary_sigma_highest'):.3f}",
        f"{ranges['binary']}; Table 5 has {ranges['multiclass']}",
        "Tables 3 and 5",
    )


def _specificity() -> Row:
    matrix = published.confusion_matrix("segnet", published.BEST_EXPERIMENT["segnet", "binary"])
    return (
        "specificity of the best binary SegNet",
        "Results",
        f"{stated('binary_specificity'):.3f}",
        f"{metrics.specificity(matrix)[1]:.4f}",
        "released confusion matrix",
    )


def _wrong_table() -> Row:
    segnet, unet = (published.global_accuracy(net, "multiclass") for net in NETS)
    higher = sum(segnet[e].mean > unet[e].mean for e in segnet)
    best = [max(a.mean for a in net.values()) for net in (segnet, unet)]
    return (
        "table that shows SegNet ahead in the binary problem",
        "Results",
        "Table 5",
        f"Table 4; in Table 5 SegNet is ahead in {higher} of {len(segnet)} rows, its best {best[0]:.3f} against "
        f"{best[1]:.3f}",
        "Table 5",
    )


def _margins() -> Row:
    segnet, unet = (published.class_scores(net, "binary")["infected"] for net in NETS)
    gap = {score: abs(segnet[score] - unet[score]) for score in segnet}
    return (
        "margins called noticeable that are smaller than one called similar",
        "Results, on Table 4",
        "noticeable in all scores except sensitivity and G-mean",
        f"specificity {gap['specificity']:.4f} and F2 {gap['f2']:.4f}, but sensitivity {gap['sensitivity']:.4f}",
        "released scores of Table 4",
    )


def _inf_net() -> Row:
    specificity = published.class_scores("segnet", "binary")["infected"]["specificity"]
    return (
        "SegNet said to exceed Inf-Net in specificity",
        "Results",
        f"above Inf-Net's {stated('infnet_specificity'):.2f}",
        f"{specificity:.3f}: below it",
        "released scores of Table 4",
    )


def _semi_inf_net() -> Row:
    scores = published.class_scores("segnet", "multiclass")
    mean = {name: np.mean([scores[c][name] for c in ("C1", "C2")]) for name in ("dice", "specificity")}
    return (
        "SegNet said to outperform Semi-Inf-Net, if ground glass and consolidation are meant",
        "Results",
        f"above Dice {stated('semiinfnet_dice'):.2f} and specificity {stated('semiinfnet_specificity'):.2f}",
        f"Dice {mean['dice']:.3f}, specificity {mean['specificity']:.3f}: below both",
        "Table 6, mean of C1 and C2",
    )


def _file_name() -> Row:
    rate, batch = stated("unet_file_learning_rate"), int(stated("unet_file_mini_batch"))
    settings = published.hyperparameters("unet")
    named = [e for e, s in settings.items() if (s.initial_learning_rate, s.mini_batch) == (rate, batch)]
    printed = published.class_scores("unet", "binary")["infected"]
    equal = [
        e
        for e in settings
        if abs(metrics.dice(published.confusion_matrix("unet", e))[1] - printed["dice"]) < 1e-6
        and abs(metrics.sensitivity(published.confusion_matrix("unet", e))[1] - printed["sensitivity"]) < 1e-6
    ]
    return (
        "name of the released binary U-Net's file",
        "repository",
        f"learning rate {rate:g}, mini-batch {batch}: experiment {_listed(named)}",
        f"the scores of Table 4 are those of experiment {_listed(equal)}, which the text, too, calls the best",
        "released confusion matrices",
    )


def _encoder() -> Row:
    trained = parity_check("SegNet: parameters")
    return (
        "SegNet of depth three with VGG16's encoder and 1.47e7 parameters",
        "SegNet architecture",
        f"{stated('encoder_depth'):.0f} stages, {stated('encoder_parameters'):.2e} parameters",
        f"VGG16 has {vgg16_parameters(5):,} in five stages and {vgg16_parameters(3):,} in three; the released "
        f"network has {int(trained['MATLAB']):,} in all",
        "the layers of VGG16; parity.csv",
    )


def _loss() -> Row:
    from experiments.saood2021.matlab_facts import FIRST_LOSS_MULTICLASS

    sizes = np.array([size for size, _ in published.class_sizes().values()])
    sizes[3] = remaining_pixels()[0]
    mean_weight = float(np.sum(sizes * weights_of_sizes(sizes)) / sizes.sum())
    return (
        "Equation 1 divides the loss by the number of pixels; and its sums run over k and n, its text over i",
        "Network training",
        f"a first loss of about {FIRST_LOSS_MULTICLASS * mean_weight:.2f} with four classes",
        f"{FIRST_LOSS_MULTICLASS:.3f}: it is divided by the sum of the weights, whose mean is {mean_weight:.3f}",
        "first loss of the released run; class sizes of Table 1",
    )


def _background() -> Row:
    highest = max(a.mean for net in NETS for a in published.global_accuracy(net, "multiclass").values())
    return (
        "global accuracy offered as a sign of quality, without what it takes to earn it",
        "Abstract, Table 5",
        f"{highest:.3f}, the highest of Table 5",
        f"{background_accuracy():.4f} for calling every pixel healthy",
        "row sums of the released confusion matrices",
    )


def _chosen_on_test() -> Row:
    segnet, unet = released_candidates()
    printed = {net: published.global_accuracy(net, "binary")[published.BEST_EXPERIMENT[net, "binary"]] for net in NETS}
    return (
        "the best of nine configurations is chosen on the test slices on which it is then scored",
        "Evaluation criteria and procedure",
        f"SegNet {printed['segnet'].mean:.3f}, U-Net {printed['unet'].mean:.3f} (binary)",
        f"SegNet {segnet.accuracy('val. acc.'):.3f}, U-Net {unet.accuracy('val. acc.'):.3f} when chosen by the "
        f"validation accuracy; {segnet.accuracy('test acc.'):.3f} and {unet.accuracy('test acc.'):.3f} by the test "
        "accuracy",
        "released curves and scores of each slice",
    )


def _weights(evidence: Evidence) -> Row:
    slip, where = "class weights made from all 100 slices, the test slices among them", "Network training"
    from experiments.saood2021.matlab_facts import CLASS_WEIGHTS

    printed = f"{_weights_text(CLASS_WEIGHTS[4])} (released network)"
    if evidence.slices is None:
        return slip, where, printed, "cannot be computed", "needs the slices: unet-segnet data fetch"
    from unet_segnet.data import median_frequency_weights, paper_split

    train = evidence.slices.subset(paper_split(len(evidence.slices)).train)
    every, of_train = (_weights_text(median_frequency_weights(s.labels, 4)) for s in (evidence.slices, train))
    return slip, where, printed, f"{of_train} from the training slices", f"the slices; all 100 give {every}"


def _exchanged_masks(evidence: Evidence) -> Row:
    slip, where = "masks in each other's place", "repository, masks of 256x256"
    if evidence.slices is None:
        return slip, where, "as released", "cannot be computed", "needs the slices: unet-segnet data fetch"
    found = [note for note in evidence.slices.notes if "each other's place" in note]
    return slip, where, "as released", "; ".join(found) or "none in this copy", "lesion pixels outside the lung"


def _weights_text(weights) -> str:
    return " ".join(f"{weight:.4f}" for weight in weights)


def _listed(experiments: list[int]) -> str:
    return " and ".join(map(str, experiments)) or "none"


def _consistent() -> tuple[str, ...]:
    """What was checked and holds, as notes; a failing check tells its count, too."""
    rows = [scores for net in NETS for scores in published.class_scores(net, "multiclass").values()]
    g_mean = sum(
        follows(lambda s, p: math.sqrt(s * p), (row["sensitivity"], row["specificity"]), row["g_mean"]) for row in rows
    )
    f2 = sum(
        follows(lambda s, d: 5 * s / (3 + 2 * s / d), (row["sensitivity"], row["dice"]), row["f2"]) for row in rows
    )
    folds = [scores for net in NETS for problem in PROBLEMS for scores in published.five_fold(net, problem).values()]
    possible = sum(map(five_fold_means_are_possible, folds))
    spreads = [a for net in NETS for a in published.global_accuracy(net, "multiclass").values()]
    squares = sum(follows(lambda s: s * s, (a.standard_deviation,), a.variance) for a in spreads)
    released = [
        abs(getattr(metrics, name)(published.confusion_matrix(net, 4))[1] - value) < 1e-6
        for net in NETS
        for name, value in published.class_scores(net, "binary")["infected"].items()
    ]
    return (
        f"Checked against each other, and how much holds within the printed digits, be they rounded or cut off: "
        f"Table 6, G-mean from sensitivity and specificity {g_mean} of {len(rows)}, F2 from sensitivity and Dice "
        f"{f2} of {len(rows)}; Table 5, variance from sigma {squares} of {len(spreads)}; Table 7, means of G-mean and "
        f"F2 not above what the means of their parts allow {possible} of {len(folds)}; Table 4 as released from the "
        f"released confusion matrices {sum(released)} of {len(released)}.",
    )
