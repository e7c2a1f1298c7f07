"""How an exported network is compared with Keras.

SegNet's decoder puts values where the encoder's maxima stood, and a maximum can lead by less than float32's rounding
(in the even background of lung-masked slices it often does). Which place wins is then decided by the order in which
a runtime adds, and a whole neighbourhood of probabilities follows: Keras itself differs by up to 4e-3 between one
slice at a time and batches of three, on the released binary SegNet and its test slices. A largest difference alone
would say nothing there, so `compare` asks for more that can be known: each place that the exported network chose holds
a maximum of its window to within rounding, and the probabilities agree when Keras unpools to the very same places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from unet_segnet.layers import MaxPooling2D
from unet_segnet.layers.pooling import take

TOLERANCE = 1e-4  # of a probability
TIE = 1e-5  # of a maximum's lead, as a share of its layer's largest value: float32's rounding after some layers
BATCH_SIZE = 3


@dataclass(frozen=True)
class Check:
    """How far an exported network is from Keras.

    Attributes:
        num_slices: that both were given.
        difference: largest difference of a probability, with the same places in all unpooling layers.
        num_places: of maxima that unpooling uses, 0 for networks without it.
        num_other_places: those that the two networks see at different places of their windows.
        largest_lead: of a maximum over the value at the other place, as a share of its layer's largest value.
        difference_with_ties: largest difference of a probability, each network with its own places.
        num_other_classes: pixels whose most probable class differs, likewise.
    """

    num_slices: int
    difference: float
    num_places: int
    num_other_places: int
    largest_lead: float
    difference_with_ties: float
    num_other_classes: int

    @property
    def passed(self) -> bool:
        """Whether probabilities and places agree to within rounding."""
        return self.difference <= TOLERANCE and self.largest_lead <= TIE

    def lines(self) -> list[str]:
        """The check in words."""
        lines = [
            f"largest difference of a probability from Keras on {self.num_slices} slices: {self.difference:.1e} "
            f"(allowed {TOLERANCE:.0e})"
        ]
        if self.num_places:
            lines.append(
                f"pooling: {self.num_other_places} of {self.num_places} maxima stand at other places than in Keras, "
                f"where they lead by at most {self.largest_lead:.1e} of the layer's largest value (allowed {TIE:.0e}: "
                f"ties that rounding decides); with these the largest difference is {self.difference_with_ties:.1e}, "
                f"and {self.num_other_classes} pixels get another class"
            )
        return lines


def compare(model: keras.Model, run: Callable, run_with_places: Callable, images: np.ndarray) -> Check:
    """Compare an exported network with Keras, slice by slice and pixel by pixel.

    Arguments:
        model: the network in Keras.
        run: the exported network: (batch, height, width, channels) float32 to {"probabilities": array}.
        run_with_places: the same, which also gives the places of the maxima that unpooling uses, "places_1", ...
            in the order of the pooling layers.
        images: (num_slices, height, width, channels) grey levels.
    """
    own, steered = _checking_networks(model)
    difference = lead = difference_with_ties = 0.0
    num_places = num_other_places = num_other_classes = 0
    for start in range(0, len(images), BATCH_SIZE):
        batch = np.asarray(images[start : start + BATCH_SIZE], np.float32)
        exported, watched = run(batch)["probabilities"], run_with_places(batch)
        chosen = [watched[f"places_{number}"] for number in range(1, len(watched))]
        expected, *own_places = _predict(own, batch)
        same_places, *found_leads = _predict(steered, [batch, *chosen])
        difference = max(
            difference,
            _largest(watched["probabilities"] - same_places),
            _largest(watched["probabilities"] - exported),
        )
        lead = max([lead, *map(_largest, found_leads)])
        num_places += sum(part.size for part in chosen)
        num_other_places += sum(int(np.sum(a != b)) for a, b in zip(chosen, own_places, strict=True))
        difference_with_ties = max(difference_with_ties, _largest(exported - expected))
        num_other_classes += int(np.sum(exported.argmax(-1) != expected.argmax(-1)))
    return Check(len(images), difference, num_places, num_other_places, lead, difference_with_ties, num_other_classes)


def _largest(array) -> float:
    """Largest magnitude; infinite where a value is not a number, so that no comparison passes it."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return largest if np.isfinite(largest) else float("inf")


def _predict(model, inputs) -> list[np.ndarray]:
    outputs = model.predict_on_batch(inputs)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


def _checking_networks(model):
    """The network with its pooling places as further outputs; and steered by given places, its further inputs.

    The steered one's further outputs are, for each pooling layer and slice, how far the maxima lead over the values
    at the given places, as a share of the layer's largest value.
    """
    own, given, leads = [], [], []
    steered = {}  # from a tensor's id to the same tensor of the steered network

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        args = keras.tree.map_structure(lambda x: steered.get(id(x), x), args)
        others = layer(*args, **kwargs)
        if isinstance(layer, MaxPooling2D):
            own.append(outputs[1])
            (x,), maxima = args, others[0]
            given.append(keras.Input(maxima.shape[1:], dtype="uint8"))
            lead = ops.max(maxima - take(x, given[-1], layer.pool_size), axis=(1, 2, 3))
            leads.append(lead / (ops.max(ops.abs(x), axis=(1, 2, 3)) + 1e-30))
            others = maxima, given[-1]
        steered.update(zip(map(id, keras.tree.flatten(outputs)), keras.tree.flatten(others), strict=True))
        return outputs

    traced = traced_anew(model, call)
    (slices,), (probabilities,) = traced.inputs, traced.outputs
    return (
        keras.Model(slices, [probabilities, *own]),
        keras.Model([slices, *given], [steered[id(probabilities)], *leads]),
    )


def traced_anew(model, call):
    """The network with each layer called by `call(layer, *args, **kwargs)`, its input named slices."""
    slices = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype="float32", name="slices"), model.input)
    return keras.models.clone_model(model, input_tensors=slices, clone_function=lambda layer: layer, call_function=call)
