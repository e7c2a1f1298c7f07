"""What is known of each network that maps grey slices to classes, in one place and without building any.

To add a network: a file in this folder with a function of the network's name and a `size_rule`, and an entry here.
`build_model`, `unet-segnet train` and `python -m experiments.grid` know it then. (The second study's networks are
pairs: `unet_segnet.models.decoders.DECODERS` on `unet_segnet.models.encoders.ENCODERS`.)
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from unet_segnet.errors import InputError

VARIANTS = ("paper", "released")


@dataclass(frozen=True)
class SizeRule:
    """Which heights and widths a network takes: at least `least` pixels, multiples of `multiple`."""

    least: int = 1
    multiple: int = 1

    def fits(self, size: int) -> bool:
        """Whether a network takes this height or width."""
        return size >= self.least and size % self.multiple == 0

    def __str__(self):
        if self.multiple == 1:
            return f"at least {self.least}"
        return f"a multiple of {self.multiple}" + (f" and at least {self.least}" if self.least > self.multiple else "")


@dataclass(frozen=True)
class Network:
    """What is known of a network.

    Attributes:
        name: by which commands know it.
        title: as texts call it.
        module: its file. Its function `name` takes (input_shape, num_classes, variant, mean), with `dropout` also
            seed, and returns an uncompiled `keras.Model` called NAME_VARIANT; `size_rule(variant)` gives a `SizeRule`;
            with `pretrained`, `pretrained_kernels(weights)` gives kernels by the names of layers.
        dropout: it has dropout masks, which take a seed.
        pretrained: variants whose encoder can start from pretrained weights.
        restarts_stream: in the authors' MATLAB script, the random stream is set back between the split and the kernels.
        recipe: what `Recipe` starts from where a command is given nothing else: learning_rate, batch_size.
    """

    name: str
    title: str
    module: str
    dropout: bool = False
    pretrained: tuple[str, ...] = ()
    restarts_stream: bool = False
    recipe: Mapping[str, float] = field(default_factory=lambda: {"learning_rate": 1e-3, "batch_size": 4})

    def build(self, input_shape, num_classes: int, variant: str, mean: float, seed: int = 0):
        """The network, with the kernels that Keras draws."""
        build: Callable = getattr(importlib.import_module(self.module), self.name)
        return build(input_shape, num_classes, variant, mean, **({"seed": seed} if self.dropout else {}))

    def size_rule(self, variant: str) -> SizeRule:
        """Of the slices that a variant takes."""
        return importlib.import_module(self.module).size_rule(variant)

    def pretrained_kernels(self, weights: str) -> dict:
        """Kernels by the names of the encoder's layers; raises `InputError` where the weights cannot be had."""
        return importlib.import_module(self.module).pretrained_kernels(weights)


# The recipes are those of the configuration that the first study calls the best in the binary problem (Table 2, no. 4).
NETWORKS = {
    network.name: network
    for network in (
        Network(
            "segnet",
            "SegNet",
            "unet_segnet.models.segnet",
            pretrained=("paper",),
            recipe={"learning_rate": 1e-3, "batch_size": 4},
        ),
        Network(
            "unet",
            "U-Net",
            "unet_segnet.models.unet",
            dropout=True,
            restarts_stream=True,
            recipe={"learning_rate": 5e-4, "batch_size": 2},
        ),
    )
}


def check_size(net: str, variant: str, size: int) -> None:
    """Refuse a size of slices that a network of the studies cannot take.

    Arguments:
        net: one of `NETWORKS`, or "architecture/encoder" of the second study.
        variant: of the first kind.
        size: height and width.

    Raises:
        InputError: it is too small, or no multiple of what the poolings need.
    """
    if net in NETWORKS:
        rule = NETWORKS[net].size_rule(variant)
    else:
        from unet_segnet.models.decoders import DEPTHS

        rule = SizeRule(multiple=2 ** DEPTHS[net.partition("/")[0]])
    if not rule.fits(size):
        raise InputError(f"`size` {size}: {net} needs {rule} pixels")
