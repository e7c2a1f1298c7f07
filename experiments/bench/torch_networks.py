"""The study's networks in PyTorch as one would write them there, to measure ours against. Needs `torch`.

Same layers, same names as ours; `MaxPool2d(return_indices=True)` and `MaxUnpool2d`; class-weighted cross-entropy;
Adam, whose weight decay is coupled in PyTorch; mixed precision by autocast.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.bench.slices import CLASS_WEIGHTS, NUM_CLASSES, made_up_slices, peak_memory
from experiments.bench.workers import Channel
from unet_segnet.errors import InputError

SEGNET_STAGES = {
    "released": ((64, 2), (64, 2), (64, 2)),
    "paper": ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
}
UNET_DEPTHS = {"released": 2, "paper": 4}
DATA_TYPES = {"float32": torch.float32, "mixed_bfloat16": torch.bfloat16}


class SegNet(nn.Module):
    """SegNet; see `unet_segnet.models.segnet`.

    Arguments:
        variant: "released" or "paper".
        num_classes: two or more.
        mean: grey level subtracted from the input.

    Call arguments:
        x: (batch, 1, height, width) grey levels, uint8 or float.

    Returns:
        Logits, (batch, num_classes, height, width).
    """

    def __init__(self, variant, num_classes=NUM_CLASSES, mean=0.0):
        super().__init__()
        self.variant, self.mean = variant, mean
        stages = SEGNET_STAGES[variant]
        self.in_channels = 3 if variant == "paper" else 1
        self.encoder, self.decoder = [], []
        channels = self.in_channels
        for stage, (filters, convolutions) in enumerate(stages, 1):
            blocks = []
            for number in range(1, convolutions + 1):
                blocks.append(self._add("encoder", stage, number, channels, filters))
                channels = filters
            self.encoder.append(blocks)
        for stage in range(len(stages), 0, -1):
            filters, convolutions = stages[stage - 1]
            last = stages[stage - 2][0] if stage > 1 else num_classes
            blocks = []
            for number in range(convolutions, 0, -1):
                outputs = filters if number > 1 else last
                blocks.append(self._add("decoder", stage, number, channels, outputs))
                channels = outputs
            self.decoder.append(blocks)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def _add(self, side, stage, number, inputs, outputs):
        names = f"{side}{stage}_conv{number}", f"{side}{stage}_bn_{number}"
        if side == "encoder" and self.variant == "paper":
            names = f"conv{stage}_{number}", f"bn_conv{stage}_{number}"
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        self.add_module(names[0], convolution)
        self.add_module(names[1], nn.BatchNorm2d(outputs, eps=1e-5))
        return names

    def _blocks(self, x, names):
        for convolution, normalisation in names:
            x = functional.relu(getattr(self, normalisation)(getattr(self, convolution)(x)), inplace=True)
        return x

    def forward(self, x):
        x = x.float() - self.mean
        x = x.expand(-1, self.in_channels, -1, -1).contiguous(memory_format=torch.channels_last)
        poolings = []
        for names in self.encoder:
            x = self._blocks(x, names)
            size = x.shape[-2:]
            x, indices = self.pool(x)
            poolings.append((indices, size))
        for names in self.decoder:
            indices, size = poolings.pop()
            x = self._blocks(self.unpool(x, indices, output_size=size), names)
        return x


class UNet(nn.Module):
    """U-Net; see `unet_segnet.models.unet`. Arguments and shapes as in `SegNet`."""

    def __init__(self, variant, num_classes=NUM_CLASSES, mean=0.0):
        super().__init__()
        self.depth, self.mean = UNET_DEPTHS[variant], mean
        channels = 1
        for stage in range(1, self.depth + 1):
            channels = self._add_two(f"Encoder-Stage-{stage}", channels, 64 * 2 ** (stage - 1))
        channels = self._add_two("Bridge", channels, 64 * 2**self.depth)
        for stage in range(1, self.depth + 1):
            filters = 64 * 2 ** (self.depth - stage)
            self._add(f"Decoder-Stage-{stage}-UpConv", nn.ConvTranspose2d(channels, filters, 2, stride=2), 4 * channels)
            channels = self._add_two(f"Decoder-Stage-{stage}", 2 * filters, filters)
        self._add("Final-ConvolutionLayer", nn.Conv2d(channels, num_classes, 1), channels)
        self.dropout = nn.Dropout(0.5)

    def _add(self, name, layer, fan_in):
        nn.init.normal_(layer.weight, std=(2.0 / fan_in) ** 0.5)
        nn.init.zeros_(layer.bias)
        self.add_module(name, layer)

    def _add_two(self, prefix, inputs, filters):
        self._add(f"{prefix}-Conv-1", nn.Conv2d(inputs, filters, 3, padding=1), 9 * inputs)
        self._add(f"{prefix}-Conv-2", nn.Conv2d(filters, filters, 3, padding=1), 9 * filters)
        return filters

    def _relu_of(self, name, x):
        return functional.relu(getattr(self, name)(x), inplace=True)

    def _two(self, prefix, x):
        return self._relu_of(f"{prefix}-Conv-2", self._relu_of(f"{prefix}-Conv-1", x))

    def forward(self, x):
        x = (x.float() - self.mean).contiguous(memory_format=torch.channels_last)
        skips = []
        for stage in range(1, self.depth + 1):
            x = self._two(f"Encoder-Stage-{stage}", x)
            skips.append(x)
            x = functional.max_pool2d(self.dropout(x) if stage == self.depth else x, 2)
        x = self.dropout(self._two("Bridge", x))
        for stage in range(1, self.depth + 1):
            x = self._relu_of(f"Decoder-Stage-{stage}-UpConv", x)
            x = self._two(f"Decoder-Stage-{stage}", torch.cat([x, skips.pop()], 1))
        return getattr(self, "Final-ConvolutionLayer")(x)


NETWORKS = {"segnet": SegNet, "unet": UNet}


def copy_weights(model, twin: nn.Module) -> None:
    """Give the twin the weights of our Keras model; layers are found by name.

    Raises:
        KeyError: a layer with weights has no counterpart.
    """
    twins = dict(twin.named_modules())
    for layer in model.layers:
        if not layer.weights:
            continue
        weights = {weight.name: np.asarray(weight) for weight in layer.weights}
        module = twins[layer.name]
        names = {"weight": "kernel", "bias": "bias"}
        if isinstance(module, nn.BatchNorm2d):
            names = {"weight": "gamma", "bias": "beta"}
            names |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
        else:
            # Keras: rows, columns, in, out (transposed convolution: out, in); PyTorch: the other way round, but the
            # rows and columns in order.
            weights["kernel"] = weights["kernel"].transpose(3, 2, 0, 1)
        with torch.no_grad():
            for theirs, ours in names.items():
                if getattr(module, theirs) is not None:
                    getattr(module, theirs).copy_(torch.from_numpy(np.ascontiguousarray(weights[ours])))


def make_optimizer(twin: nn.Module, learning_rate=1e-3, l2=1e-4, up_bias_factor=2.0) -> torch.optim.Optimizer:
    """Adam as `unet_segnet.training.class_weighted` has it: no L2 on convolution biases, faster ones of transposed."""
    groups = {"decayed": [], "biases": [], "up_biases": []}
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            groups["decayed"] += [module.weight, module.bias]
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            groups["decayed"].append(module.weight)
            if module.bias is not None:
                groups["up_biases" if isinstance(module, nn.ConvTranspose2d) else "biases"].append(module.bias)
    settings = {"decayed": {"weight_decay": l2}, "biases": {}, "up_biases": {"lr": learning_rate * up_bias_factor}}
    parts = [{"params": params, **settings[name]} for name, params in groups.items() if params]
    return torch.optim.Adam(parts, lr=learning_rate, eps=1e-8, fused=True)


def make_step(twin: nn.Module, optimizer, device="cpu", dtype="float32", compiled=False, class_weights=CLASS_WEIGHTS):
    """A training step and an inference with the same work in them as ours.

    Arguments:
        twin: a network of `NETWORKS` on the device.
        optimizer: of `make_optimizer`.
        device: "cpu" or "cuda".
        dtype: "float32" or "mixed_bfloat16" (autocast; loss in float32).
        compiled: whether `torch.compile` is used.
        class_weights: (num_classes,) for the loss.

    Returns:
        step(images, labels) and infer(images). Images are (batch, height, width) uint8 tensors, labels likewise. A
        step returns loss and pixel accuracy as tensors on the device, inference the most probable classes as an
        array, (batch, height, width) uint8.
    """
    network = torch.compile(twin) if compiled else twin
    loss_function = nn.CrossEntropyLoss(torch.tensor(class_weights, device=device), ignore_index=255)

    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=dtype == "mixed_bfloat16")

    def step(images, labels):
        twin.train()
        y = labels.to(device, non_blocking=True).long()
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            logits = network(images[:, None].to(device, non_blocking=True))
        loss = loss_function(logits.float(), y)
        loss.backward()
        optimizer.step()
        labelled = y != 255
        accuracy = ((logits.detach().argmax(1) == y) & labelled).sum() / labelled.sum()
        return loss.detach(), accuracy

    def infer(images):
        twin.eval()
        with torch.inference_mode(), autocast():
            logits = network(images[:, None].to(device, non_blocking=True))
            return logits.argmax(1).to(torch.uint8).cpu().numpy()

    return step, infer


def network(channel: Channel, net, variant, dtype, batch, size, device, way):
    """Worker: seconds per "step" or "inference" of a mini-batch, or peak "memory" in MiB.

    Arguments:
        way: "eager", "compile" (torch.compile), or "kept" (eager, where glibc keeps freed memory as in our training).
    """
    prepare(device, way)
    images, labels = held_slices(made_up_slices(batch, size), device)
    twin = NETWORKS[net](variant, mean=float(images.float().mean())).to(device, memory_format=torch.channels_last)
    step, infer = make_step(twin, make_optimizer(twin), device, dtype, way == "compile")
    take_turns(channel, lambda: step(images, labels), lambda: infer(images), device)


def prepare(device, way) -> None:
    """The settings of a process for a device and one of the ways of `network`.

    Raises:
        InputError: this torch cannot use the device.
    """
    _check_device(device)
    if way == "kept":
        from unet_segnet.processor import keep_freed_memory

        keep_freed_memory()
    _choose_fast(device)


def held_slices(arrays, device) -> list[torch.Tensor]:
    """Arrays as tensors, from which a GPU copies without waiting."""
    tensors = [torch.from_numpy(array) for array in arrays]
    return [tensor.pin_memory() for tensor in tensors] if device == "cuda" else tensors


def take_turns(channel: Channel, step, infer, device) -> None:
    """Answer turns of "step", "inference" and "memory" with functions without arguments."""
    for task, count in channel.turns():
        if task == "memory":
            channel.reply(torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory())
            continue
        started = time.perf_counter()
        for _ in range(count):
            step() if task == "step" else infer()
        if device == "cuda":
            torch.cuda.synchronize()
        channel.reply((time.perf_counter() - started) / count)


def matrix_product(channel: Channel, size, dtype, device):
    """Worker: seconds per product of two square matrices of `size`."""
    _check_device(device)
    _choose_fast(device)
    left, right = (torch.rand(size, size, device=device).to(DATA_TYPES[dtype]) for _ in range(2))
    for _, count in channel.turns():
        started = time.perf_counter()
        for _ in range(count):
            product = left @ right
        float(product[0, 0])  # waits for the device
        channel.reply((time.perf_counter() - started) / count)


def _check_device(device):
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("this torch has no CUDA, while Keras has a GPU; install a CUDA build of torch")


def _choose_fast(device):
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32, as TensorFlow does
