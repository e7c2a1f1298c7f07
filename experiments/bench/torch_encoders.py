"""The second study's networks in segmentation_models_pytorch, to measure ours against. Needs that package.

Its own networks with random weights, as one would train them there: soft Dice loss and Adam of
`unet_segnet.training.soft_dice.EncoderRecipe`, mixed precision by autocast.
"""

import segmentation_models_pytorch
import torch

from experiments.bench.slices import made_up_slices
from experiments.bench.torch_networks import held_slices, prepare, take_turns
from experiments.bench.workers import Channel
from unet_segnet.data.normalise import normalise


def make_twin(net: str, num_classes: int = 1) -> torch.nn.Module:
    """The network "ARCHITECTURE/ENCODER", grey slices (batch, 1, height, width) to logits."""
    architecture, encoder = net.split("/")
    return segmentation_models_pytorch.create_model(
        architecture, encoder, encoder_weights=None, in_channels=1, classes=num_classes
    )


def soft_dice(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss `unet_segnet.training.losses.SoftDiceLoss` over each slice, of (batch, height, width) each."""
    labels = labels.float()
    overlap = (labels * probabilities).sum((1, 2))
    squares = (labels * labels + probabilities * probabilities).sum((1, 2))
    return (1 - 2 * overlap / (squares + 1e-5)).mean()


def make_step(twin: torch.nn.Module, device="cpu", dtype="float32", compiled=False):
    """A training step and an inference with the same work in them as ours.

    Arguments:
        twin: of `make_twin`, on the device.
        device: "cpu" or "cuda".
        dtype: "float32" or "mixed_bfloat16" (autocast; probabilities and loss in float32).
        compiled: whether `torch.compile` is used.

    Returns:
        step(images, labels) and infer(images). Images are (batch, height, width) float32 tensors, labels (batch,
        height, width) uint8. A step returns the loss as a tensor on the device, inference the probabilities as an
        array, (batch, num_classes, height, width) float32.
    """
    network = torch.compile(twin) if compiled else twin
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3, eps=1e-8, fused=True)

    def logits(images):
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "mixed_bfloat16"):
            inputs = images[:, None].to(device, non_blocking=True, memory_format=torch.channels_last)
            return network(inputs).float()

    def step(images, labels):
        twin.train()
        optimizer.zero_grad(set_to_none=True)
        loss = soft_dice(torch.sigmoid(logits(images))[:, 0], labels.to(device, non_blocking=True))
        loss.backward()
        optimizer.step()
        return loss.detach()

    def infer(images):
        twin.eval()
        with torch.inference_mode():
            found = logits(images)
            return (torch.sigmoid(found) if found.shape[1] == 1 else torch.softmax(found, 1)).cpu().numpy()

    return step, infer


def network(channel: Channel, net, variant, dtype, batch, size, device, way, num_classes=1):
    """Worker: seconds per "step" or "inference" of a mini-batch, or peak "memory" in MiB.

    Arguments are as of `torch_networks.network`; variant is None. Only networks of one class can take a step.
    """
    prepare(device, way)
    images, labels = made_up_slices(batch, size)
    images, labels = held_slices((normalise(images, "minmax"), labels), device)
    twin = make_twin(net, num_classes).to(device, memory_format=torch.channels_last)
    step, infer = make_step(twin, device, dtype, way == "compile")
    take_turns(channel, lambda: step(images, labels), lambda: infer(images), device)
