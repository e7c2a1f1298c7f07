"""A finished cross-validation of networks that judge each pixel by its grey level alone."""

import json

import numpy as np

SLOPE = 0.05
LEVELS = (80, 100, 150)  # from which on the network of each fold calls a pixel infected
FACTS = {"class_names": ["not infected", "infected"], "window": [-1100.0, 400.0], "mirror_axes": [1]}


def infected(grey, level):
    """The probability that a network gives a grey level."""
    return 1 / (1 + np.exp(-2 * SLOPE * (np.asarray(grey, np.float64) - level)))


def write_fold(folder, level, size=32, split=None, facts=FACTS):
    """Write the folder of one fold as a training leaves it."""
    import keras

    from unet_segnet.networks.save import save_network

    folder.mkdir(parents=True)
    inputs = keras.Input((size, size, 1))
    scores = keras.layers.Conv2D(2, 1, name="scores")(inputs)
    model = keras.Model(inputs, keras.layers.Softmax()(scores))
    weights = [np.array([[[[-SLOPE, SLOPE]]]], "float32"), np.array([SLOPE * level, -SLOPE * level], "float32")]
    model.get_layer("scores").set_weights(weights)
    save_network(model, folder / "model.keras", facts)
    (folder / "config.json").write_text(json.dumps({"split": split or {}}))
    (folder / "result.json").write_text(json.dumps({"status": "finished"}))


def write_folds(group, levels=LEVELS, size=32, seed=0):
    """Write all folds and the folder of their tables; returns the group's folder."""
    splits = [{"train": [f"s{number}"], "validation": [], "test": []} for number in range(len(levels))]
    for number, (level, split) in enumerate(zip(levels, splits, strict=True), 1):
        facts = {**FACTS, "slices": [f"mark {number}", "mark of all"], "thresholds": [level]}
        write_fold(group / f"fold{number}-seed{seed}", level, size, split, facts)
    (group / f"folds-seed{seed}").mkdir()
    (group / f"folds-seed{seed}" / "split.json").write_text(json.dumps({"format": 1, "folds": splits}))
    return group
