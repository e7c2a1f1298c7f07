"""Numeric parity with segmentation_models_pytorch: the same random weights in both, the same input, the difference.

A development script outside the test suite, with its own requirements-parity.txt:

    python tests/models/smp_parity.py [--architectures unet ...] [--encoders vgg11 ...]

It also runs with version 0.1.3, which the article used (`pip install --no-deps segmentation-models-pytorch==0.1.3
efficientnet-pytorch==0.6.3 pretrainedmodels==0.7.4 timm==0.3.2 munch`); --append adds its rows to those of another
version. EfficientNet is compared with b0: since version 0.7 of efficientnet_pytorch one layer of the others is padded
otherwise than in the study, so that they agree with version 0.1.3 only.
"""

import argparse
import csv
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[2]
OUT = REPOSITORY / "experiments" / "results" / "parity_encoders.csv"
COUNTS = REPOSITORY / "experiments" / "reference" / "bizopoulos2021" / "parameter_counts.csv"
ARCHITECTURES = {"unet": "Unet", "linknet": "Linknet", "fpn": "FPN", "pspnet": "PSPNet"}
FAMILIES = (
    "vgg11",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "densenet121",
    "mobilenet_v2",
    "dpn68",
    "xception",
    "inceptionv4",
    "efficientnet-b0",
)
SIZE = (64, 96)  # uneven for PSPNet's 6 x 6 regions one way, even the other way
LIMIT = 1e-3


def import_smp():
    """segmentation_models_pytorch, also where torchvision has no build for this torch."""
    import collections.abc
    import types

    import torch

    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    six = types.ModuleType("torch._six")  # gone since torch 1.13; timm 0.3.2 asks for it
    six.container_abcs, six.string_classes, six.int_classes = collections.abc, (str,), (int,)
    sys.modules.setdefault("torch._six", six)
    import segmentation_models_pytorch

    return segmentation_models_pytorch, operators  # the library's definitions go with the object


def reference_network(smp, architecture, encoder, seed):
    """A PyTorch network with random kernels, scales and biases.

    Its batch statistics are those of random images, so that the numbers in every layer are of order one, and a slip in
    any layer is seen at the end. The biases of batch normalisation lie around 0.5: around 0, the deepest networks
    multiply float32's rounding a thousandfold (Inception-v4 in PyTorch is then 1e-3 off itself in float64).
    """
    import torch

    torch.manual_seed(seed)
    network = getattr(smp, ARCHITECTURES[architecture])(
        encoder, encoder_weights=None, in_channels=1, classes=1, activation="sigmoid"
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.bias.add_(0.5)
                module.momentum = None  # the mean over all batches
        network.train()
        for _ in range(2):
            network(torch.randn(4, 1, *SIZE))
    return network.eval()


def compare(smp, architecture, encoder, seed=0):
    """Build both networks, copy the weights, and compare their outputs on random images; one row of the table."""
    import keras
    import torch

    from unet_segnet.models import build_model
    from unet_segnet.models.encoders.weights import assign_tensors

    network = reference_network(smp, architecture, encoder, seed)
    model = build_model(architecture, encoder=encoder, input_shape=(*SIZE, 1))
    assign_tensors(model, {name: tensor.numpy() for name, tensor in network.state_dict().items()}, encoder)
    images = np.random.default_rng(seed).standard_normal((2, *SIZE, 1)).astype("float32")
    ours = keras.ops.convert_to_numpy(model(images, training=False))
    with torch.no_grad():
        inputs = torch.from_numpy(images.transpose(0, 3, 1, 2))
        theirs = network(inputs).numpy().transpose(0, 2, 3, 1)
        exact = network.double()(inputs.double()).numpy().transpose(0, 2, 3, 1)
    return {
        "architecture": architecture,
        "encoder": encoder,
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "used_parameters": used_parameters()[architecture, encoder],
        "largest_difference": f"{np.abs(ours - theirs).max():.1e}",
        "pytorch_to_its_float64": f"{np.abs(theirs - exact).max():.1e}",
        "output_std": f"{theirs.std():.3f}",
        "segmentation_models_pytorch": smp.__version__,
        "torch": torch.__version__,
        "keras": keras.__version__,
        "backend": f"{keras.backend.backend()} {version(keras.backend.backend())}",
    }


def used_parameters():
    with COUNTS.open(newline="") as file:
        return {(row["architecture"], row["encoder"]): int(row["used_parameters"]) for row in csv.DictReader(file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--encoders", nargs="+", default=FAMILIES, metavar="ENCODER")
    parser.add_argument("--out", type=Path, default=OUT, help="table to write (default: %(default)s)")
    parser.add_argument("--append", action="store_true", help="keep the table's rows and add to them")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(REPOSITORY))
    smp, _operators = import_smp()
    rows = []
    if options.append:
        with options.out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    bad = 0
    for encoder in options.encoders:
        for architecture in options.architectures:
            start = time.time()
            row = compare(smp, architecture, encoder)
            rows.append(row)
            same = float(row["largest_difference"]) <= LIMIT and row["parameters"] == row["used_parameters"]
            bad += not same
            print(
                f"{architecture:8} {encoder:16} {row['largest_difference']}  {row['parameters']:>9} parameters  "
                f"{time.time() - start:.0f} s{'' if same else '  DIFFERENT'}",
                flush=True,
            )
            with options.out.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
