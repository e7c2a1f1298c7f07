"""What MATLAB does differently: its random stream and its trained networks.

`RandomStream` replays the numbers that MATLAB's generator draws; `load_network` reads a network trained in
MATLAB. Both are imported when first asked for, so that the stream is usable without Keras.
"""

_HOMES = {"RandomStream": "random", "load_network": "networks"}
__all__ = ["RandomStream", "load_network"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
