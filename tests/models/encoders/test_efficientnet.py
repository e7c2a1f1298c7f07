"""EfficientNet: how it grows, how it pads, and what is random in training."""

import math

import keras
import numpy as np
import pytest

from unet_segnet.models.encoders import ENCODERS, efficientnet


def encoder_model(encoder, depth=5):
    """An encoder whose weights have shapes alone: drawing their values takes most of the time."""
    inputs = keras.Input((32, 32, 1))
    with keras.StatelessScope(initialize_variables=False):
        return keras.Model(inputs, ENCODERS[encoder](inputs, depth=depth))


@pytest.mark.parametrize(
    ("number", "blocks", "filters"),
    [
        (1, 23, (32, 24, 40, 112, 320)),
        (2, 23, (32, 24, 48, 120, 352)),
        (3, 26, (40, 32, 48, 136, 384)),
        (4, 32, (48, 32, 56, 160, 448)),
        (5, 39, (48, 40, 64, 176, 512)),
        (6, 45, (56, 40, 72, 200, 576)),
    ],
)
def test_efficientnets_grow_as_published(number, blocks, filters):
    """Numbers of blocks and channels of segmentation_models_pytorch's encoders."""
    model = encoder_model(f"efficientnet-b{number}", depth=3)
    pyramid = model.output
    assert tuple(features.shape[-1] for features in pyramid.values()) == filters[:3]
    options = ENCODERS[f"efficientnet-b{number}"].keywords
    assert (
        options["ends"][-1] == blocks == sum(math.ceil(count * options["length"]) for count, *_ in efficientnet.STAGES)
    )
    assert (
        tuple(efficientnet._rounded(stage[-1] * options["width"]) for stage in efficientnet.STAGES[4::2]) == filters[3:]
    )


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_efficientnet_pads_below_and_to_the_right_first(kernel_size):
    """Strides of 2 on even sizes: an output reads the pixels 2 r - (k - 2) // 2 onwards, those outside being zero."""
    inputs = keras.Input((8, 6, 1))
    model = keras.Model(inputs, efficientnet._convolution(inputs, 1, kernel_size, "a", strides=2))
    kernel = np.arange(1.0, kernel_size**2 + 1).reshape(kernel_size, kernel_size)
    model.get_layer("a").set_weights([kernel[..., None, None]])
    image = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    before = (kernel_size - 2) // 2
    padded = np.zeros((8 + kernel_size, 6 + kernel_size))
    padded[before : before + 8, before : before + 6] = image
    expected = [
        [(padded[2 * r : 2 * r + kernel_size, 2 * c : 2 * c + kernel_size] * kernel).sum() for c in range(3)]
        for r in range(4)
    ]
    np.testing.assert_allclose(model.predict_on_batch(image[None, ..., None])[0, ..., 0], expected, atol=1e-4)


def test_efficientnet_leaves_whole_blocks_out_in_training_only():
    model = encoder_model("efficientnet-b0")
    dropped = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("drop_connect")}
    # Blocks with a shortcut: all but the first of the seven stages. The rate rises to 0.2 over the sixteen blocks.
    assert {name: round(rate * 16 / 0.2) for name, rate in dropped.items()} == {
        f"encoder-_blocks-{number}-drop_connect": number for number in (2, 4, 6, 7, 9, 10, 12, 13, 14)
    }
    layer = model.get_layer("encoder-_blocks-14-drop_connect")
    layer = type(layer).from_config(layer.get_config())  # with a random state of its own
    x = np.ones((4000, 2, 1, 3), "float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    masks = keras.ops.convert_to_numpy(layer(x, training=True)).reshape(4000, -1)
    assert (masks == masks[:, :1]).all()  # an image's block is there as a whole, or not at all
    kept = masks[:, 0] > 0
    np.testing.assert_allclose(masks[kept], 1 / (1 - layer.rate), rtol=1e-5)
    assert kept.mean() == pytest.approx(1 - layer.rate, abs=0.03)
