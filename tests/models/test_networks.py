"""What holds for every network: a class of some lines for each, on one base.

To add a network: a class with its `architecture` and `variant`, or `encoder`, and what differs from the defaults.
"""

import keras
import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.models import build_model
from unet_segnet.models.registry import check_size
from unet_segnet.training.compilation import dtype_policy


def predictions(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def weights_of(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


class NetworkTester:
    """Tests of one network.

    Attributes:
        architecture, variant, encoder: of `build_model`.
        size: a height and a width that it takes; not square, so that rows and columns cannot change places.
        refused: a height that it does not take, and why, as `check_size` says it.
        num_classes: numbers of classes whose probabilities are looked at; the first is the default.
    """

    architecture: str
    variant = encoder = None
    size = (32, 64)
    refused = (48, "a multiple of 32")
    num_classes = (1, 3)

    @classmethod
    def build(cls, **more):
        more = {"input_shape": (*cls.size, 1), **more}
        return build_model(cls.architecture, cls.variant, encoder=cls.encoder, **more)

    @classmethod
    def images(cls, num_slices=2):
        return np.random.default_rng(0).standard_normal((num_slices, *cls.size, 1)).astype("float32")

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        """The network of seed 0, not to be changed."""
        return cls.build()

    @pytest.fixture(scope="class")
    @classmethod
    def step(cls):
        """The weights of another of seed 0, before and after one step, and the names of those that can be trained."""
        model = cls.build()
        # Adam divides by the gradient's size, so that small gradients show too.
        # Compiling a graph for one step would take ten times as long.
        model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", run_eagerly=True)
        before, images = weights_of(model), cls.images(3)
        labels = np.random.default_rng(1).random((*images.shape[:3], model.output_shape[-1])) > 0.5
        model.train_on_batch(images, labels.astype("float32"))
        return before, weights_of(model), [weight.path for weight in model.trainable_weights]

    def test_it_gives_each_pixel_the_probability_of_each_class(self, model):
        for number in self.num_classes:
            network = model if number == self.num_classes[0] else self.build(num_classes=number)
            probabilities = predictions(network, self.images())
            assert probabilities.shape == (2, *self.size, number)
            assert probabilities.dtype == np.float32
            assert 0 <= probabilities.min() < probabilities.max() <= 1 and probabilities.std() > 0
            if number > 1:
                np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)

    def test_the_seed_determines_the_weights(self, model, step):
        one, same, other = weights_of(model), step[0], weights_of(self.build(seed=1))
        assert len(one) == len(model.weights)  # each has a name of its own
        assert one.keys() == same.keys() == other.keys()
        for name, weight in one.items():
            np.testing.assert_array_equal(weight, same[name])
            assert weight.ndim < 4 or np.abs(weight - other[name]).max() > weight.std(), name

    def test_one_step_changes_every_trainable_weight(self, step):
        before, after, trainable = step
        assert not [name for name in trainable if np.array_equal(before[name], after[name])]

    def test_it_takes_the_sizes_that_its_rule_says(self):
        name = f"{self.architecture}/{self.encoder}" if self.encoder else self.architecture
        refused, reason = self.refused
        for length in self.size:
            check_size(name, self.variant, length)
        with pytest.raises(InputError, match=f"`size` {refused}: {name} needs {reason} pixels"):
            check_size(name, self.variant, refused)
        with pytest.raises(ValueError, match="Received: "):
            self.build(input_shape=(refused, self.size[1], 1))

    def test_it_computes_in_bfloat16_and_answers_in_float32(self):
        with dtype_policy("mixed_bfloat16"):
            model = self.build()
        computed = {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
        assert "bfloat16" in computed and model.layers[-1].compute_dtype == "float32"
        assert self.encoder or model.get_layer("zerocenter").compute_dtype == "float32"  # bfloat16 rounds grey levels
        assert predictions(model, self.images()).dtype == np.float32

    def test_it_is_the_same_after_saving(self, model, tmp_path):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
        np.testing.assert_array_equal(predictions(loaded, self.images()), predictions(model, self.images()))


class TestReleasedSegNet(NetworkTester):
    architecture, variant = "segnet", "released"
    size = (27, 18)
    refused = (7, "at least 8")
    num_classes = (2, 4)


class TestReleasedUNet(NetworkTester):
    architecture, variant = "unet", "released"
    size = (32, 20)
    refused = (22, "a multiple of 4")
    num_classes = (2, 4)


@pytest.mark.slow
class TestPaperSegNet(NetworkTester):
    architecture, variant = "segnet", "paper"
    size = (37, 45)
    refused = (31, "at least 32")
    num_classes = (2, 4)


@pytest.mark.slow
class TestPaperUNet(NetworkTester):
    architecture, variant = "unet", "paper"
    size = (16, 48)
    refused = (40, "a multiple of 16")
    num_classes = (2, 4)


class TestUNetOnVGG11(NetworkTester):
    architecture, encoder = "unet", "vgg11"


class TestLinkNetOnResNet18(NetworkTester):
    architecture, encoder = "linknet", "resnet18"


class TestFPNOnMobileNet(NetworkTester):
    architecture, encoder = "fpn", "mobilenet_v2"


class TestPSPNetOnResNeXt50(NetworkTester):
    architecture, encoder = "pspnet", "resnext50_32x4d"
    size = (40, 56)
    refused = (36, "a multiple of 8")


@pytest.mark.slow
class TestUNetOnResNeXt50(NetworkTester):
    architecture, encoder = "unet", "resnext50_32x4d"


@pytest.mark.slow
class TestFPNOnDenseNet121(NetworkTester):
    architecture, encoder = "fpn", "densenet121"


@pytest.mark.slow
class TestLinkNetOnDPN68(NetworkTester):
    architecture, encoder = "linknet", "dpn68"


@pytest.mark.slow
class TestPSPNetOnXception(NetworkTester):
    architecture, encoder = "pspnet", "xception"
    size = (40, 56)
    refused = (36, "a multiple of 8")


@pytest.mark.slow
class TestUNetOnInceptionV4(NetworkTester):
    architecture, encoder = "unet", "inceptionv4"


@pytest.mark.slow
class TestUNetOnEfficientNetB0(NetworkTester):
    architecture, encoder = "unet", "efficientnet-b0"
