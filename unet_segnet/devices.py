"""What the backend computes on."""

import keras


def accelerators() -> list[str]:
    """Names of the GPUs and other accelerators that the backend sees; empty on a processor alone.

    Keras lists no devices for its PyTorch backend: there this is empty too.
    """
    if keras.config.backend() == "torch":
        return []
    return [str(device) for device in keras.distribution.list_devices() if not str(device).lower().startswith("cpu")]
