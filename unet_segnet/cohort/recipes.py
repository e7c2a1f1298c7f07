"""How a network is trained on own data by each study's recipe."""

from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS

ENCODER = "encoder-"  # how the names of the second study's encoder layers begin


def make_recipe(plan, dtype: str, known: str | None = None, **changes):
    """The recipe of a plan.

    Arguments:
        plan: `NetworkPlan`.
        dtype: of the layers.
        known: what the network that training begins with is called, see `unet_segnet.cohort.network_plan.known_as`.
        changes: epochs, learning_rate, batch_size instead of the recipe's; None leaves one as it is.

    Returns:
        `Recipe`, with what the first article found best for the network (Table 4), or `EncoderRecipe`.
    """
    from unet_segnet.training.class_weighted import Recipe
    from unet_segnet.training.soft_dice import EncoderRecipe

    changes = {name: value for name, value in changes.items() if value is not None}
    if plan.recipe == "compare":
        return EncoderRecipe(dtype=dtype, **changes)
    net = known.rpartition("_")[0] if known else plan.net
    return Recipe(dtype=dtype, **{**(NETWORKS[net].recipe if net in NETWORKS else {}), **changes})


def _pyramid(model):
    """The second study's network inside a model of `grey_levels_in`, or None."""
    import keras

    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def dtype_of_network(model) -> str:
    """The data type in which a network's convolutions compute; a copy of it is trained in the same."""
    import keras

    layers = (_pyramid(model) or model).layers
    return next((layer.dtype_policy.name for layer in layers if isinstance(layer, keras.layers.Conv2D)), "float32")


def train_grid(plan, init, parts, class_weights, recipe, seed, folder, report):
    """Train by the first study's recipe.

    Arguments:
        plan: `NetworkPlan`.
        init: what `begin_with` gave.
        parts: `Slices` of "train" and "validation".
        class_weights: of the loss.
        recipe: `unet_segnet.training.class_weighted.Recipe`.
        seed: of everything random.
        folder: `RunFolder`, for the state and what follows the training.
        report: called after each epoch.

    Returns:
        The trained network, its history, and facts for the result.
    """
    import keras
    import numpy as np

    from unet_segnet.models import build_model
    from unet_segnet.training import translations
    from unet_segnet.training.class_weighted import train
    from unet_segnet.training.streams import NumpyStream

    train_part, validation = parts["train"], parts["validation"]

    def build(**random):
        if init is None:
            model = build_model(
                plan.net,
                variant=plan.variant or "paper",
                num_classes=train_part.num_classes,
                input_shape=(*train_part.images.shape[1:], 1),
                encoder_weights=plan.encoder_weights,
                **random,
            )
        else:  # with the mean that it was trained with
            model = keras.models.clone_model(init)
            model.set_weights(init.get_weights())
        if plan.freeze:
            freeze_encoder(model)
        return model

    result = train(
        build,
        train_part.images,
        train_part.labels,
        validation.images,
        validation.labels,
        class_weights,
        recipe,
        NumpyStream(seed),
        seed=seed,
        checkpoint=folder.state,
        report=report,
        callbacks=folder.callbacks(),
        keep=plan.keep,
    )
    losses = result.history["validation_loss"]
    best = int(np.nanargmin(losses)) + 1 if plan.keep == "best" and not np.isnan(losses).all() else None
    seconds = float(result.history["epoch_seconds"].sum())
    facts = {"best_epoch": best, "training_seconds": seconds, "mirror_axes": list(translations.MIRROR_AXES)}
    return result.model, result.history, facts


def train_compare(plan, init, parts, recipe, seed, folder, report):
    """Train by the second study's recipe: one kind of lesion, soft Dice, the epoch of the least validation loss.

    Arguments and results as of `train_grid`; the network takes grey levels and gives two probabilities, as those of
    the first study do.
    """
    import keras

    from unet_segnet.models import build_model
    from unet_segnet.training.compilation import dtype_policy
    from unet_segnet.training.soft_dice import train_encoder

    train_part, validation = parts["train"], parts["validation"]
    if init is None:
        architecture, _, encoder = plan.net.partition("/")
        mean, deviation = float(train_part.images.mean()), max(float(train_part.images.std()), 1.0)
        with dtype_policy(recipe.dtype):
            network = build_model(
                architecture,
                encoder=encoder,
                encoder_weights=plan.encoder_weights,
                input_shape=(*train_part.images.shape[1:], 1),
                num_classes=1,
                seed=seed,
            )
    else:
        network, scale = keras.models.clone_model(_pyramid(init)), init.get_layer("standardise")
        network.set_weights(_pyramid(init).get_weights())
        deviation, mean = 1 / scale.scale, -scale.offset / scale.scale
    if plan.freeze:
        freeze_encoder(network)

    def standardised(slices):
        return (slices.images.astype("float32") - mean) / deviation

    result = train_encoder(
        network,
        standardised(train_part),
        train_part.labels,
        standardised(validation),
        validation.labels,
        recipe,
        seed=seed,
        checkpoint=folder.state,
        report=report,
        callbacks=folder.callbacks(),
    )
    facts = {
        "best_epoch": result.best_epoch,
        "training_seconds": float(result.history["epoch_seconds"].sum()),
        "mirror_axes": [1, 2] if recipe.flip else None,
    }
    return grey_levels_in(result.model, mean, deviation), result.history, facts


def grey_levels_in(network, mean: float, deviation: float):
    """A network of the second study that takes grey levels and gives the probabilities of background and lesion.

    Arguments:
        network: (batch, height, width, 1) standardised values to (batch, height, width, 1) probabilities.
        mean, deviation: of the grey levels.
    """
    import keras

    network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)  # a tensor in and out, no list
    inputs = keras.Input(network.input_shape[1:], name="grey_levels")
    standardise = keras.layers.Rescaling(1 / deviation, offset=-mean / deviation, dtype="float32", name="standardise")
    lesion = network(standardise(inputs))
    background = keras.layers.Rescaling(-1.0, offset=1.0, dtype="float32", name="background")(lesion)
    both = keras.layers.Concatenate(dtype="float32", name="probabilities")([background, lesion])
    return keras.Model(inputs, both, name=f"{network.name}_lesion")


def freeze_encoder(model) -> None:
    """Make the encoder's layers not trainable: those so named, else all up to the last pooling.

    Raises:
        InputError: it has no encoder that can be told.
    """
    named = [layer for layer in model.layers if layer.name.startswith(ENCODER)]
    poolings = [index for index, layer in enumerate(model.layers) if "MaxPooling" in type(layer).__name__]
    if not named and not poolings:
        raise InputError(f"`freeze` encoder: {model.name} has no encoder that can be told from the rest")
    for layer in named or model.layers[: poolings[-1] + 1]:
        layer.trainable = False
