"""The networks: parameters, names and shapes as MATLAB R2020a builds them."""

import keras
import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.models import build_model


@pytest.mark.parametrize(
    ("architecture", "variant", "num_classes", "parameters"),
    [
        ("segnet", "released", 2, 373_192),  # the authors' file
        ("unet", "released", 2, 1_861_762),  # likewise
        ("unet", "paper", 2, 31_030_658),  # unetLayers of depth 4: 31,030,593 for one class, 65 more for a second
    ],
)
def test_parameters_are_those_of_matlab(architecture, variant, num_classes, parameters):
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough
        model = build_model(architecture, variant, num_classes, (32, 32, 1), draw=np.zeros)
    assert model.count_params() == parameters


def test_paper_segnet_has_the_encoder_of_vgg16():
    with keras.StatelessScope(initialize_variables=False):  # shapes are enough
        model = build_model("segnet", input_shape=(32, 32, 1), draw=np.zeros)
        vgg16 = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    convolutions = [layer for layer in model.layers if layer.name.startswith("conv")]
    assert [layer.filters for layer in convolutions] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    # The article's 1.47e7 counts VGG16's biases, which MATLAB freezes at zero.
    assert sum(layer.count_params() + layer.filters for layer in convolutions) == 14_714_688
    assert not any(layer.use_bias for layer in convolutions)
    assert vgg16.count_params() == 14_714_688
    decoder = [layer.filters for layer in model.layers if layer.name.startswith("decoder") and "conv" in layer.name]
    assert decoder == [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 2]


def test_encoder_weights_come_from_a_local_file(tmp_path):
    vgg16 = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    vgg16.save_weights(tmp_path / "vgg16.weights.h5")
    model = build_model("segnet", input_shape=(32, 32, 1), encoder_weights=tmp_path / "vgg16.weights.h5")
    for ours, theirs in (("conv1_1", "block1_conv1"), ("conv5_3", "block5_conv3")):
        kernels = [keras.ops.convert_to_numpy(m.get_layer(n).kernel) for m, n in ((model, ours), (vgg16, theirs))]
        np.testing.assert_array_equal(*kernels)


def test_released_segnet_is_layer_for_layer_the_authors():
    names = [layer.name for layer in build_model("segnet", variant="released", input_shape=(32, 32, 1)).layers]
    assert names[2:9] == [
        "encoder1_conv1", "encoder1_bn_1", "encoder1_relu_1", "encoder1_conv2", "encoder1_bn_2", "encoder1_relu_2",
        "encoder1_maxpool",
    ]  # fmt: skip
    assert names[-8:] == [
        "decoder1_unpool", "decoder1_conv2", "decoder1_bn_2", "decoder1_relu_2", "decoder1_conv1", "decoder1_bn_1",
        "decoder1_relu_1", "softmax",
    ]  # fmt: skip


def test_released_unet_has_dropout_in_the_last_stage_and_the_bridge_alone():
    model = build_model("unet", variant="released", input_shape=(32, 32, 1))
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [(layer.name, layer.rate) for layer in dropouts] == [
        ("Encoder-Stage-2-DropOut", 0.5),
        ("Bridge-DropOut", 0.5),
    ]
    concatenation = model.get_layer("Decoder-Stage-1-DepthConcatenation")
    upsampled, skipped = (tensor._keras_history.operation.name for tensor in concatenation.input)
    assert (upsampled, skipped) == ("Decoder-Stage-1-UpReLU", "Encoder-Stage-2-ReLU-2")


@pytest.mark.parametrize("architecture", ["segnet", "unet"])
def test_kernels_are_he_normal_with_the_fan_in_of_matlab(architecture):
    model = build_model(architecture, variant="released", input_shape=(32, 32, 1), seed=3)
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        height, width, *channels = kernel.shape
        inputs = channels[1] if isinstance(layer, keras.layers.Conv2DTranspose) else channels[0]
        expected = np.sqrt(2 / (height * width * inputs))
        assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(kernel.size)), layer.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "vnet"}, "Received: architecture='vnet'"),
        ({"architecture": "segnet", "variant": "mine"}, "Received: variant='mine'"),
        ({"architecture": "unet", "num_classes": 1}, "Received: num_classes=1"),
        ({"architecture": "unet", "input_shape": (250, 256, 1)}, "multiples of 16"),
        ({"architecture": "unet", "input_shape": (256, 256, 3)}, r"must be \(height, width, 1\)"),
        ({"architecture": "unet", "encoder_weights": "imagenet"}, "encoder_weights belongs to"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(**arguments)


def test_unusable_encoder_weights_are_one_clear_error(tmp_path):
    file = tmp_path / "vgg16.weights.h5"
    file.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"vgg16\.weights\.h5: no weights of VGG16") as error:
        build_model("segnet", input_shape=(32, 32, 1), encoder_weights=file)
    assert "\n" not in str(error.value)


def test_kernels_that_backends_would_draw_differently_are_refused():
    from unet_segnet.models.initialisation import draw_kernels

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, name="scores")])
    with pytest.raises(ValueError, match=r"must be he_normal.*Received: GlorotUniform of layer scores"):
        draw_kernels(model, np.random.default_rng(0).standard_normal)
