"""The network of `train`: what is built or begun from, what of it is trained, and by which study's recipe."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unet_segnet.commands.console import import_keras
from unet_segnet.errors import InputError

VARIANTS = ("paper", "released")
RECIPES = ("grid", "compare")
ENCODER = "encoder-"  # how the names of the second study's encoder layers begin


@dataclass(frozen=True)
class NetworkPlan:
    """Which network, and what is done with it.

    Attributes:
        net: one of `unet_segnet.models.ARCHITECTURES`, "architecture/encoder" of the second study, or None: that of
            `init`.
        variant: of the first study's networks, "paper" or "released".
        recipe: "grid", the first study's, or "compare", the second's.
        init: a trained network to begin with (.keras, .mat, "binary", "multiclass"), or None.
        freeze: "encoder": it stays as it is; or None.
        encoder_weights: "imagenet" or a file for the encoder of a new network, or None.
        keep: "last" or "best" epoch.
    """

    net: str | None
    variant: str | None = None
    recipe: str = "grid"
    init: str | None = None
    freeze: str | None = None
    encoder_weights: str | None = None
    keep: str = "last"

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            InputError: it does not.
        """
        is_pyramid = self.net is not None and "/" in self.net
        if self.net is None and self.init is None:
            raise InputError("--net: expected segnet, unet or ARCHITECTURE/ENCODER, unless --init gives a network")
        if self.net is not None:
            (_check_pyramid if is_pyramid else _check_architecture)(self.net)
        if is_pyramid != (self.recipe == "compare") and self.net is not None:
            raise InputError(
                f"--net {self.net} with --recipe {self.recipe}: segnet and unet go with grid, ARCHITECTURE/ENCODER "
                "with compare"
            )
        if self.net is None and self.variant is not None:
            raise InputError("--variant belongs to --net; a network of --init keeps its own, leave --variant out")
        if self.recipe == "compare" and (self.net is None or self.variant is not None):
            raise InputError("--recipe compare needs --net ARCHITECTURE/ENCODER, and no --variant")
        if self.encoder_weights is not None:
            is_vgg = (self.net, self.variant or "paper") == ("segnet", "paper")
            if self.init is not None or not (is_pyramid or is_vgg):
                raise InputError(
                    "--encoder-weights belongs to a new network: ARCHITECTURE/ENCODER, or segnet of variant paper"
                )
        if self.freeze is not None and self.init is None and self.encoder_weights is None:
            raise InputError("--freeze encoder needs trained weights: give --init, or --encoder-weights")

    @cached_property
    def init_sha256(self) -> str:
        """SHA-256 of the file of `init`.

        Raises:
            InputError: there is none.
        """
        from unet_segnet.networks.load import model_sha256

        return model_sha256(self.init)

    @property
    def label(self) -> str:
        """Its part in the name of a folder.

        Raises:
            InputError: `init` is no file.
        """
        kind = "" if self.net is None else self.net.replace("/", "-")
        if kind == self.net:
            kind = f"{self.variant or 'paper'}-{kind}"
        begun = "" if self.init is None else f"from-{safe_name(Path(self.init).stem)}"
        if begun and Path(self.init).suffix:  # all runs call their network model.keras
            begun += f"-{self.init_sha256[:8]}"
        pretrained = "pretrained" if self.encoder_weights else ""
        best = "best" if self.keep == "best" and self.recipe == "grid" else ""
        return "-".join(part for part in (kind, begun, pretrained, "frozen" if self.freeze else "", best) if part)


def safe_name(text: str) -> str:
    """A text as part of a folder's name: letters, digits, dots, dashes and underscores."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)[:60]
    return name.lstrip(".") or "data"


def _check_architecture(net: str) -> None:
    import_keras()
    from unet_segnet.models import ARCHITECTURES

    if net not in ARCHITECTURES:
        raise InputError(
            f"--net {net}: expected {', '.join(ARCHITECTURES)}, or ARCHITECTURE/ENCODER such as unet/resnet18"
        )


def _check_pyramid(net: str) -> None:
    import_keras()
    from unet_segnet.models.decoders import DECODERS
    from unet_segnet.models.encoders import ENCODERS

    architecture, _, encoder = net.partition("/")
    if architecture not in DECODERS or encoder not in ENCODERS:
        raise InputError(
            f"--net {net}: expected ARCHITECTURE/ENCODER, the first of {', '.join(DECODERS)}, the second of "
            f"{', '.join(ENCODERS)}"
        )


def check_size(net: str, variant: str, size: int) -> None:
    """Refuse a size of slices that a network of the studies cannot take.

    Arguments:
        net, variant: as of `NetworkPlan`.
        size: height and width.

    Raises:
        InputError: it is too small, or no multiple of what the poolings need.
    """
    from unet_segnet.models.decoders import DEPTHS as DECODER_DEPTHS
    from unet_segnet.models.segnet import RELEASED_STAGES, VGG16_STAGES
    from unet_segnet.models.unet import DEPTHS

    if net == "segnet":  # odd sizes come back by their padding
        smallest = 2 ** len(VGG16_STAGES if variant == "paper" else RELEASED_STAGES)
        fits, expected = size >= smallest, f"at least {smallest}"
    else:
        depth = DEPTHS[variant] if net == "unet" else DECODER_DEPTHS.get(net.partition("/")[0], 0)
        fits, expected = size % 2**depth == 0, f"a multiple of {2**depth}"
    if not fits:
        raise InputError(f"--size {size}: {net} needs {expected} pixels")


def begin_with(plan: NetworkPlan):
    """The trained network that `init` names, or None.

    Raises:
        InputError: it cannot be loaded, or is of another kind than asked for.
    """
    if plan.init is None:
        return None
    from unet_segnet.networks.load import load_model

    model = load_model(plan.init)
    is_pyramid = _pyramid(model) is not None
    if is_pyramid != (plan.recipe == "compare"):
        raise InputError(
            f"{plan.init}: a network of the {'second' if is_pyramid else 'first'} study; use another --recipe"
        )
    wanted = None if plan.net is None else _model_name(plan)
    found = _pyramid(model).name if is_pyramid else known_as(model)
    if wanted is not None and found != wanted:
        raise InputError(f"{plan.init}: holds {found}, --net and --variant ask for {wanted}; leave them out, or agree")
    return model


def check_classes(plan: NetworkPlan, model, class_names: tuple[str, ...]) -> None:
    """Refuse a trained network, as `begin_with` gave it, that tells other classes apart than the data has.

    Raises:
        InputError: it does.
    """
    if model is not None and model.output_shape[-1] != len(class_names):
        raise InputError(
            f"{plan.init}: tells {model.output_shape[-1]} classes apart, the data has {len(class_names)} "
            f"({', '.join(class_names)}); expected equally many, --problem binary makes two"
        )
    known = getattr(model, "class_names", class_names)
    if known != class_names and sorted(known) == sorted(class_names):
        raise InputError(
            f"{plan.init}: its classes are {', '.join(known)}, the data has {', '.join(class_names)}; expected the "
            "same order, that of the rows of classes.csv"
        )


def known_as(model) -> str:
    """What a network of the first study is called here, such as "segnet_released"; its own name where it is none.

    One that comes from MATLAB is known by the shapes of its kernels.
    """
    import keras

    from unet_segnet.models import ARCHITECTURES

    builders = {f"{net}_{variant}": (net, variant) for net in ARCHITECTURES for variant in VARIANTS}
    if model.name in builders:
        return model.name
    for name, (net, variant) in builders.items():
        try:
            with keras.StatelessScope(initialize_variables=False):  # shapes are enough; values take most of the time
                same = ARCHITECTURES[net](model.input_shape[1:], model.output_shape[-1], variant, 0.0)
        except ValueError:  # slices of this size do not fit it
            continue
        if _kernels(same) == _kernels(model):
            return name
    return model.name


def _kernels(model):
    return [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]


def _model_name(plan):
    return plan.net.replace("/", "-") if "/" in plan.net else f"{plan.net}_{plan.variant or 'paper'}"


def _pyramid(model):
    """The second study's network inside a model of `grey_levels_in`, or None."""
    import keras

    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def train_grid(plan, init, parts, class_weights, recipe, seed, folder, report):
    """Train by the first study's recipe.

    Arguments:
        plan: `NetworkPlan`.
        init: what `begin_with` gave.
        parts: `Slices` of "train" and "validation".
        class_weights: of the loss.
        recipe: `unet_segnet.training.Recipe`.
        seed: of everything random.
        folder: `RunFolder`, for the state.
        report: called after each epoch.

    Returns:
        The trained network, its history, and facts for the result.
    """
    import keras
    import numpy as np

    from unet_segnet.models import build_model
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
        keep=plan.keep,
    )
    losses = result.history["validation_loss"]
    best = int(np.argmin(losses)) + 1 if plan.keep == "best" else None
    seconds = float(result.history["epoch_seconds"].sum())
    return result.model, result.history, {"best_epoch": best, "training_seconds": seconds}


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
    )
    facts = {
        "best_epoch": result.best_epoch,
        "training_seconds": float(result.history["epoch_seconds"].sum()),
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
        raise InputError(f"--freeze encoder: {model.name} has no encoder that can be told from the rest")
    for layer in named or model.layers[: poolings[-1] + 1]:
        layer.trainable = False
