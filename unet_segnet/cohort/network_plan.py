"""The network of `train`: what is built or begun from, what of it is trained, and by which study's recipe."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unet_segnet.cohort.recipes import _pyramid
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, VARIANTS
from unet_segnet.output.console import import_keras

RECIPES = ("grid", "compare")


@dataclass(frozen=True)
class NetworkPlan:
    """Which network, and what is done with it.

    Attributes:
        net: one of `unet_segnet.models.registry.NETWORKS`, "architecture/encoder" of the second study, or None: that of
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
            raise InputError(
                f"`net`: expected {', '.join(NETWORKS)} or ARCHITECTURE/ENCODER, unless `init` gives a network"
            )
        if self.net is not None:
            (_check_pyramid if is_pyramid else _check_architecture)(self.net)
        if is_pyramid != (self.recipe == "compare") and self.net is not None:
            raise InputError(
                f"`net` {self.net} with `recipe` {self.recipe}: {', '.join(NETWORKS)} go with grid, "
                "ARCHITECTURE/ENCODER with compare"
            )
        if self.net is None and self.variant is not None:
            raise InputError("`variant` belongs to `net`; a network of `init` keeps its own, leave `variant` out")
        if self.recipe == "compare" and (self.net is None or self.variant is not None):
            raise InputError("`recipe` compare needs `net` ARCHITECTURE/ENCODER, and no `variant`")
        if self.encoder_weights is not None:
            new = self.net is not None and self.init is None
            if not new or not (is_pyramid or (self.variant or "paper") in NETWORKS[self.net].pretrained):
                others = [f"{of.name} of variant {variant}" for of in NETWORKS.values() for variant in of.pretrained]
                raise InputError(
                    f"`encoder_weights` belongs to a new network: ARCHITECTURE/ENCODER, or {', '.join(others)}"
                )
        if self.freeze is not None and self.init is None and self.encoder_weights is None:
            raise InputError("`freeze` encoder needs trained weights: give `init`, or `encoder_weights`")

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
    if net not in NETWORKS:
        raise InputError(f"`net` {net}: expected {', '.join(NETWORKS)}, or ARCHITECTURE/ENCODER such as unet/resnet18")


def _check_pyramid(net: str) -> None:
    import_keras()
    from unet_segnet.models.decoders import DECODERS
    from unet_segnet.models.encoders import ENCODERS

    architecture, _, encoder = net.partition("/")
    if architecture not in DECODERS or encoder not in ENCODERS:
        raise InputError(
            f"`net` {net}: expected ARCHITECTURE/ENCODER, the first of {', '.join(DECODERS)}, the second of "
            f"{', '.join(ENCODERS)}"
        )


def begin_with(plan: NetworkPlan):
    """The trained network that `init` names, or None.

    Raises:
        InputError: it cannot be loaded, or is of another kind than asked for.
    """
    if plan.init is None:
        return None
    from unet_segnet.networks.load import CHANGED, check_takes_grey, in_folder, load_model

    if in_folder(plan.init):
        raise InputError(f"{plan.init}: is a folder; `init` takes one network, such as the model.keras of a run")
    model = load_model(plan.init)
    if model.sha256 != plan.init_sha256:  # by which the run is known
        raise InputError(f"{plan.init}: {CHANGED}")
    check_takes_grey(model, plan.init)
    is_pyramid = _pyramid(model) is not None
    if is_pyramid != (plan.recipe == "compare"):
        raise InputError(
            f"{plan.init}: a network of the {'second' if is_pyramid else 'first'} study; use another `recipe`"
        )
    wanted = None if plan.net is None else _model_name(plan)
    found = _pyramid(model).name if is_pyramid else known_as(model)
    if wanted is not None and found != wanted:
        raise InputError(f"{plan.init}: holds {found}, `net` and `variant` ask for {wanted}; leave them out, or agree")
    return model


def check_classes(plan: NetworkPlan, model, class_names: tuple[str, ...]) -> None:
    """Refuse a trained network, as `begin_with` gave it, that tells other classes apart than the data has, or the same
    in another order.

    Raises:
        InputError: it does.
    """
    if model is None:
        return
    if model.output_shape[-1] != len(class_names):
        raise InputError(
            f"{plan.init}: tells {model.output_shape[-1]} classes apart, the data has {len(class_names)} "
            f"({', '.join(class_names)}); expected equally many, `problem` binary makes two"
        )
    from unet_segnet.cohort.conventions import is_swapped
    from unet_segnet.data.slices import MULTICLASS_NAMES, findings

    known = getattr(model, "class_names", MULTICLASS_NAMES if len(class_names) == 4 else class_names)
    if is_swapped(known, class_names):
        raise InputError(
            f"{plan.init}: its classes are {', '.join(findings(known))}, the data has {', '.join(class_names)}; "
            "expected the same order, that of the rows of classes.csv"
        )


def known_as(model) -> str:
    """What a network of the first study is called here, such as "segnet_released"; its own name where it is none.

    One that comes from MATLAB is known by the shapes of its kernels.
    """
    import keras

    builders = {f"{net}_{variant}": (net, variant) for net in NETWORKS for variant in VARIANTS}
    if model.name in builders:
        return model.name
    for name, (net, variant) in builders.items():
        try:
            with keras.StatelessScope(initialize_variables=False):  # shapes are enough; values take most of the time
                same = NETWORKS[net].build(model.input_shape[1:], model.output_shape[-1], variant, 0.0)
        except ValueError:  # slices of this size do not fit it
            continue
        if _kernels(same) == _kernels(model):
            return name
    return model.name


def _kernels(model):
    return [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]


def _model_name(plan):
    return plan.net.replace("/", "-") if "/" in plan.net else f"{plan.net}_{plan.variant or 'paper'}"
