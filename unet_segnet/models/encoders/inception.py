"""Inception-v4 without its head (Szegedy et al. 2016; Cadene's port to PyTorch), padded where it was not."""

import keras

from unet_segnet.models.encoders.blocks import batch_norm, convolution, max_pool, relu

ROW, COLUMN = (1, 7), (7, 1)


def inceptionv4(inputs, depth=5):
    """Build Inception-v4. Its modules are numbered 0 to 21; a level ends two or three modules before the next halving.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.

    Returns:
        Dict "P1" (half resolution) ... "P<depth>".
    """
    modules = (
        lambda x, name: _conv(x, 32, 3, name, strides=2),
        lambda x, name: _conv(x, 32, 3, name),
        lambda x, name: _conv(x, 64, 3, name),
        lambda x, name: _join(max_pool(x, 3, f"{name}-maxpool"), _conv(x, 96, 3, f"{name}-conv", strides=2), name=name),
        _stem,
        lambda x, name: _join(
            _conv(x, 192, 3, f"{name}-conv", strides=2), max_pool(x, 3, f"{name}-maxpool"), name=name
        ),
        *[_inception_a] * 4,
        _reduction_a,
        *[_inception_b] * 7,
        _reduction_b,
        *[_inception_c] * 3,
    )
    x, pyramid = inputs, {}
    for number, module in enumerate(modules):
        x = module(x, f"encoder-features-{number}")
        if number in (2, 4, 8, 14, 21):
            pyramid[f"P{len(pyramid) + 1}"] = x
            if len(pyramid) == depth:
                break
    return pyramid


def _stem(x, name):
    return _join(
        _chain(x, ((64, 1), (96, 3)), f"{name}-branch0"),
        _chain(x, ((64, 1), (64, ROW), (64, COLUMN), (96, 3)), f"{name}-branch1"),
        name=name,
    )


def _inception_a(x, name):
    return _join(
        _conv(x, 96, 1, f"{name}-branch0"),
        _chain(x, ((64, 1), (96, 3)), f"{name}-branch1"),
        _chain(x, ((64, 1), (96, 3), (96, 3)), f"{name}-branch2"),
        _conv(_average(x, name), 96, 1, f"{name}-branch3-1"),
        name=name,
    )


def _reduction_a(x, name):
    return _join(
        _conv(x, 384, 3, f"{name}-branch0", strides=2),
        _chain(x, ((192, 1), (224, 3), (256, 3)), f"{name}-branch1", strides=2),
        max_pool(x, 3, f"{name}-branch2"),
        name=name,
    )


def _inception_b(x, name):
    return _join(
        _conv(x, 384, 1, f"{name}-branch0"),
        _chain(x, ((192, 1), (224, ROW), (256, COLUMN)), f"{name}-branch1"),
        _chain(x, ((192, 1), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)), f"{name}-branch2"),
        _conv(_average(x, name), 128, 1, f"{name}-branch3-1"),
        name=name,
    )


def _reduction_b(x, name):
    return _join(
        _chain(x, ((192, 1), (192, 3)), f"{name}-branch0", strides=2),
        _chain(x, ((256, 1), (256, ROW), (320, COLUMN), (320, 3)), f"{name}-branch1", strides=2),
        max_pool(x, 3, f"{name}-branch2"),
        name=name,
    )


def _inception_c(x, name):
    one = _conv(x, 384, 1, f"{name}-branch1_0")
    two = _conv(x, 384, 1, f"{name}-branch2_0")
    two = _conv(two, 448, (3, 1), f"{name}-branch2_1")
    two = _conv(two, 512, (1, 3), f"{name}-branch2_2")
    return _join(
        _conv(x, 256, 1, f"{name}-branch0"),
        _conv(one, 256, (1, 3), f"{name}-branch1_1a"),
        _conv(one, 256, (3, 1), f"{name}-branch1_1b"),
        _conv(two, 256, (1, 3), f"{name}-branch2_3a"),
        _conv(two, 256, (3, 1), f"{name}-branch2_3b"),
        _conv(_average(x, name), 256, 1, f"{name}-branch3-1"),
        name=name,
    )


def _conv(x, filters, kernel_size, name, strides=1):
    x = convolution(x, filters, kernel_size, f"{name}-conv", strides, initial="pytorch")
    return relu(batch_norm(x, f"{name}-bn", epsilon=1e-3), f"{name}-relu")


def _chain(x, steps, name, strides=1):
    """Convolutions, (filters, kernel size) each, one after another; the last has the strides."""
    for number, (filters, kernel_size) in enumerate(steps, 1):
        x = _conv(x, filters, kernel_size, f"{name}-{number - 1}", strides if number == len(steps) else 1)
    return x


def _average(x, name):
    """Mean of the 3x3 neighbours; those outside the image do not count."""
    return keras.layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}-branch3-0")(x)


def _join(*branches, name):
    return keras.layers.Concatenate(name=name)(branches)


ENCODERS = {"inceptionv4": inceptionv4}
