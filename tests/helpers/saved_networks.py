"""Networks in `.mat` files as MATLAB saves them, written for the tests."""

from unittest.mock import patch

import numpy as np
import pandas as pd
from matio import save_to_mat
from matio.subsystem.subsys import MatSubsystem
from matio.utils.matclass import MatlabOpaque, MatlabOpaqueArray


def save(path, variables, version, classes):
    """Write variables; mat-io reads object arrays inside objects but cannot write them, and layers are saved so."""
    serialize = MatSubsystem.serialize_nested_props

    def with_arrays(self, value):
        return self.set_object_metadata(value) if isinstance(value, MatlabOpaqueArray) else serialize(self, value)

    with patch.object(MatSubsystem, "serialize_nested_props", with_arrays):
        save_to_mat(str(path), variables, version=version, saveobj_classes=classes)


def structure(**fields):
    out = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        out[0, 0][name] = value
    return out


def saved(kind, **fields):
    """An object of a MATLAB class as its saveobj stores it."""
    return MatlabOpaque({"any": structure(**fields)}, kind)


def write_network(path, version="v7", kind="DAGNetwork", variable="trained", unknown=False):
    """A small four-class network as MATLAB saves one: layers of several classes in one array, and a table."""
    package = "nnet.cnn.layer."
    learnable = {"LearnRateFactor": 1.0, "L2Factor": 1.0}
    kernel = np.random.default_rng(0).normal(size=(1, 1, 1, 4)).astype("float32")
    layers = [
        saved(
            package + "ImageInputLayer",
            Name="in",
            InputSize=[[4.0, 6.0, 1.0]],
            Normalization=structure(Type="zerocenter", AverageImage=np.array([[3.5]], "float32")),
        ),
        saved(package + ("StrangeLayer" if unknown else "ReLULayer"), Version=1.0, Name="positive"),
        saved(
            package + "Convolution2DLayer",
            Name="scores",
            FilterSize=[[1.0, 1.0]],
            NumChannels=1.0,
            NumFilters=4.0,
            Stride=[[1.0, 1.0]],
            DilationFactor=[[1.0, 1.0]],
            PaddingMode="manual",
            PaddingSize=[[0.0, 0.0, 0.0, 0.0]],
            Weights=structure(Value=kernel, **learnable),
            Bias=structure(Value=np.ones((1, 1, 4), "float32"), **learnable),
        ),
        saved(package + "SoftmaxLayer", Version=1.0, Name="softmax"),
        saved(
            package + "PixelClassificationLayer",
            Name="labels",
            Categories=pd.Categorical(["C0", "C1", "C2", "C3"]),
            ClassWeights=np.array([[0.5], [1.0], [2.0], [4.0]]),
        ),
    ]
    array = np.empty((len(layers), 1), dtype=object)
    array[:, 0] = layers
    fields = {"Version": 1.0, "Layers": MatlabOpaqueArray(array, package + "Layer")}
    if kind == "DAGNetwork":
        names = ["in", "positive", "scores", "softmax", "labels"]
        fields["Connections"] = pd.DataFrame({"Source": names[:-1], "Destination": names[1:]})
    classes = [kind, package + "Layer", *{layer.classname for layer in layers}]
    save(path, {"other": np.eye(2), variable: saved(kind, **fields)}, version, classes)
    return kernel
