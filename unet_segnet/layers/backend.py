"""What the layers share: the name they are registered under, and which backend computes."""

import keras

PACKAGE = "unet_segnet"


def on_tensorflow() -> bool:
    return keras.config.backend() == "tensorflow"
