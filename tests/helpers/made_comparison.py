"""Run folders of the second study made of numbers, for the tests of its report."""

import json

import numpy as np

from experiments.bizopoulos2021.published import parameters

PIXELS = 32 * 32
EPOCHS = 20
# Dice as a share of 1 that a made model reaches, and what changes it.
GOOD = {"lung": 0.9, "lesion_a": 0.6, "lesion_b": 0.7}
WORSE = {"unet": 0.02, "linknet": 0.0, "fpn": 0.05, "pspnet": 0.1}
SPEED = {"unet": 2.0, "linknet": 3.0, "fpn": 1.5, "pspnet": 0.5}


def made_counts(experiment, share, num_volumes=3, num_slices=10):
    """Counts (n, 2, 2), names and volumes; a fifth of the slices is empty and rightly predicted so.

    `share` of each slice's foreground is found, and as much as is missed is found elsewhere: Dice is `share`.
    """
    n = num_volumes * num_slices
    sizes = np.random.default_rng(0).integers(50, 200, n)
    sizes[::5] = 0
    found = np.round(sizes * share).astype(int)
    confusion = np.zeros((n, 2, 2), np.int64)
    confusion[:, 1, 1], confusion[:, 1, 0] = found, sizes - found
    confusion[:, 0, 1] = sizes - found
    confusion[:, 0, 0] = PIXELS - confusion.sum(axis=(1, 2))
    volumes = [str(index // num_slices + 1) for index in range(n)]
    names = [f"{volume}-{index % num_slices + 1:03}" for index, volume in enumerate(volumes)]
    return confusion, names, volumes


def made_run(
    out,
    experiment="lung",
    architecture="unet",
    encoder="resnet18",
    weights=None,
    data="ct20",
    seed=0,
    counts=None,
    settings=None,
    epochs=EPOCHS,
    first_layer=False,
    num_volumes=3,
    place="",
    **result,
):
    """Write one finished run's folder; ImageNet is better and learns faster, lesion B likewise."""
    folder = out / "compare" / experiment / f"{architecture}-{encoder}-{weights or 'none'}" / f"seed{seed}{place}"
    folder.mkdir(parents=True)
    config = {
        "format": 1,
        "study": "compare",
        "experiment": experiment,
        "architecture": architecture,
        "encoder": encoder,
        "encoder_weights": weights,
        "seed": seed,
        "recipe": {"epochs": epochs, "batch_size": 2, "loss": "image"},
        "data": {"name": data, "size": 32, "normalise": "minmax", "sha256": "0" * 64} | (settings or {}),
        "split": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    spread = np.random.default_rng([len(encoder), ord(encoder[-1])]).uniform(0, 0.02)
    share = GOOD[experiment] - WORSE[architecture] + spread + (0.03 if weights else 0)
    confusion, names, volumes = counts or made_counts(experiment, share, num_volumes)
    np.savez(
        folder / "counts.npz",
        test_names=np.array(names),
        test_volumes=np.array(volumes),
        test_confusion=confusion,
        validation_names=np.array(names),
        validation_confusion=confusion,
    )
    rate = 0.2 + (0.1 if weights else 0) + (0.1 if architecture == "pspnet" else 0) + 2 * spread
    loss = 1 - share * (1 - np.exp(-rate * np.arange(1, EPOCHS + 1)))
    np.savez(
        folder / "history.npz",
        loss=loss,
        validation_loss=loss + 0.05,
        epoch_seconds=np.full(EPOCHS, SPEED[architecture]),
        validation_seconds=np.full(EPOCHS, SPEED[architecture] / 8),
    )
    if first_layer is not False:
        before = np.random.default_rng(0).normal(0, 0.1, (7, 7, 1, 64)).astype(np.float32)
        after = before + 0.01 if first_layer is True else first_layer
        np.savez(folder / "first_layer.npz", before=before, after=after)
    outcome = {"status": "finished", "parameters": parameters()[architecture, encoder].used, "best_epoch": EPOCHS}
    outcome |= {"one_class_only": False, "device": "a processor", **result}
    (folder / "result.json").write_text(json.dumps(outcome))
    return folder
