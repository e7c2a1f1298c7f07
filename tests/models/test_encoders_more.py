"""EfficientNet, Xception, Inception-v4 and the dual path networks: names, padding, and what is random in training."""

import csv
import math

import keras
import numpy as np
import pytest

from unet_segnet.models.encoders import ENCODERS, efficientnet, inception


def encoder_model(encoder, channels=1, size=(32, 32), depth=5):
    inputs = keras.Input((*size, channels))
    return keras.Model(inputs, ENCODERS[encoder](inputs, depth=depth))


@pytest.mark.parametrize(
    ("encoder", "shapes"),
    [
        (
            "efficientnet-b0",
            {
                "encoder-_conv_stem": (3, 3, 1, 32),
                "encoder-_blocks-0-_project_conv": (1, 1, 32, 16),
                "encoder-_blocks-3-_depthwise_conv": (5, 5, 144, 1),
                "encoder-_blocks-15-_se_reduce": (1, 1, 1152, 48),
            },
        ),
        (
            "xception",
            {
                "encoder-block1-rep-3-pointwise": (1, 1, 128, 128),
                "encoder-block11-rep-7-conv1": (3, 3, 728, 1),
                "encoder-block12-skip": (1, 1, 728, 1024),
                "encoder-conv4-pointwise": (1, 1, 1536, 2048),
            },
        ),
        (
            "inceptionv4",
            {
                "encoder-features-3-conv-conv": (3, 3, 64, 96),
                "encoder-features-11-branch2-1-conv": (7, 1, 192, 192),
                "encoder-features-17-branch3-1-conv": (1, 1, 1024, 128),
                "encoder-features-21-branch2_3b-conv": (3, 1, 512, 256),
            },
        ),
        (
            "dpn68",
            {
                "encoder-features-conv2_1-c1x1_w_s1-conv": (1, 1, 10, 96),
                "encoder-features-conv3_1-c1x1_w_s2-conv": (1, 1, 144, 192),
                "encoder-features-conv4_12-c3x3_b-conv": (3, 3, 16, 512),
                "encoder-features-conv5_3-c1x1_c-conv": (1, 1, 1024, 576),
            },
        ),
    ],
)
def test_layers_are_named_as_the_published_modules(encoder, shapes):
    model = encoder_model(encoder)
    assert {name: tuple(model.get_layer(name).kernel.shape) for name in shapes} == shapes


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
    x = np.ones((4000, 2, 1, 3), "float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    masks = keras.ops.convert_to_numpy(layer(x, training=True)).reshape(4000, -1)
    assert (masks == masks[:, :1]).all()  # an image's block is there as a whole, or not at all
    kept = masks[:, 0] > 0
    np.testing.assert_allclose(masks[kept], 1 / (1 - layer.rate), rtol=1e-5)
    assert kept.mean() == pytest.approx(1 - layer.rate, abs=0.03)


def test_inception_averages_what_is_inside_the_image():
    inputs = keras.Input((4, 5, 1))
    model = keras.Model(inputs, inception._average(inputs, "a"))
    image = np.arange(20.0, dtype="float32").reshape(4, 5)
    expected = [[image[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].mean() for c in range(5)] for r in range(4)]
    np.testing.assert_allclose(model.predict_on_batch(image[None, ..., None])[0, ..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("encoder", ["dpn68", "efficientnet-b0"])
def test_networks_are_the_same_after_saving(encoder, tmp_path):
    """Those with operations that are no layers, and with layers of random effect."""
    model = encoder_model(encoder, depth=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    image = np.random.default_rng(0).standard_normal((1, 32, 32, 1)).astype("float32")
    for level, features in loaded.predict_on_batch(image).items():
        np.testing.assert_array_equal(features, model.predict_on_batch(image)[level])


def test_the_committed_parity_covers_every_family_and_architecture(reference):
    """experiments/results/parity_encoders.csv, which smp_parity.py writes."""
    with open(reference.parent / "results" / "parity_encoders.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    families = {"vgg", "resnet", "resnext", "densenet", "mobilenet", "dpn", "xception", "inception", "efficientnet"}
    for architecture in ("unet", "linknet", "fpn", "pspnet"):
        encoders = {row["encoder"] for row in rows if row["architecture"] == architecture}
        assert {family for family in families if any(name.startswith(family) for name in encoders)} == families
    assert len({(row["architecture"], row["encoder"]) for row in rows}) == len(rows) == 42
    for row in rows:
        assert float(row["largest_difference"]) <= 5e-5, row  # as the README says
        assert float(row["output_std"]) > 0.01, row
        assert row["parameters"] == row["used_parameters"], row
