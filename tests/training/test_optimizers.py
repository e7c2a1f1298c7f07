"""Adam of both studies, against its formulas and against PyTorch's."""

import keras
import numpy as np
import pytest

from unet_segnet.training.optimizers import CoupledAdam, TorchAdam

GRADIENTS = np.array([[0.3, -1e-8, 0.0], [-0.1, 3e-8, 1e-9], [0.2, 1e-8, -1e-7]], "float32")  # of three steps


def three_steps(optimizer):
    """Where three parameters are after the steps of `GRADIENTS`."""
    kernel = keras.Variable(np.array([1.0, -2.0, 3.0], "float32"), name="kernel")
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    return keras.ops.convert_to_numpy(kernel)


def test_pytorchs_adam_adds_epsilon_after_the_correction():
    """Three steps by hand, with gradients so small that epsilon matters."""
    optimizer = TorchAdam(0.01, epsilon=1e-8)
    w, m, v = np.array([1.0, -2.0, 3.0]), 0.0, 0.0
    for t, g in enumerate(GRADIENTS.astype(float), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.01 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(three_steps(optimizer), w, rtol=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, TorchAdam) and again.get_config() == optimizer.get_config()
    assert np.abs(three_steps(keras.optimizers.Adam(0.01, epsilon=1e-8)) - w).max() > 1e-3


def test_pytorchs_adam_is_pytorchs():
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -r requirements-torch.txt")
    kernel = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    theirs = torch.optim.Adam([kernel], 0.01)
    for gradient in GRADIENTS:
        kernel.grad = torch.from_numpy(gradient.copy())
        theirs.step()
    np.testing.assert_allclose(three_steps(TorchAdam(0.01, epsilon=1e-8)), kernel.detach().numpy(), rtol=1e-6)


def test_there_is_no_amsgrad():
    with pytest.raises(ValueError, match="amsgrad must be False"):
        TorchAdam(amsgrad=True)


def test_adam_adds_l2_to_the_gradient_before_the_moments():
    """Three steps by hand, with MATLAB R2020a's update."""
    start, gradient = np.array([1.0, -2.0, 3.0]), np.array([0.3, -0.1, 0.0])
    kernel = keras.Variable(start.astype("float32"), name="kernel")
    bias = keras.Variable(start.astype("float32"), name="bias")
    optimizer = CoupledAdam(0.01, l2=0.1, epsilon=1e-8, rate_factors={bias.path: 2.0})
    for _ in range(3):
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))] * 2, [kernel, bias])
    for variable, l2, factor in ((kernel, 0.1, 1.0), (bias, 0.0, 2.0)):
        w, m, v = start.copy(), 0.0, 0.0
        for t in range(1, 4):
            g = gradient + l2 * w
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - factor * 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), w, rtol=1e-5)
