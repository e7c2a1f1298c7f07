"""Reading the layers and connections of a trained network out of a MATLAB file, without MATLAB and without Keras."""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError, one_line

NETWORK_CLASSES = ("DAGNetwork", "SeriesNetwork")
_EXPECTED = "expected a file in which MATLAB saved one trained DAGNetwork or SeriesNetwork"


@dataclass(frozen=True)
class Layer:
    """One layer as MATLAB saved it.

    Attributes:
        name: unique in its network.
        type: MATLAB's class without its package, such as "Convolution2DLayer".
        settings: the saved fields; text as str, numbers as arrays, structures as dict, cell arrays as list.
    """

    name: str
    type: str
    settings: dict


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a network and how they are connected.

    Attributes:
        layers: in MATLAB's order.
        connections: pairs (source, destination), each "layer" or "layer/port" as in MATLAB's table of connections.
    """

    layers: tuple[Layer, ...]
    connections: tuple[tuple[str, str], ...]


def read_layer_graph(path) -> LayerGraph:
    """Read the one trained network that a `.mat` file (version 7 or 7.3) holds, whatever its variable is called.

    Only data is read: nothing in the file is evaluated, unpickled or called.

    Args:
        path: the file.

    Returns:
        The layer graph. A SeriesNetwork is a chain in the order of its layers.

    Raises:
        InputError: the file does not exist, is damaged, is no MATLAB file, refers to other files, or does not hold
            exactly one DAGNetwork or SeriesNetwork.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_EXPECTED}")
    network = _read_network_object(path)
    try:
        saved = _fields(network)
        layers = tuple(_layer(item) for item in np.atleast_1d(saved["Layers"]).ravel(order="F"))
        if network.classname == "SeriesNetwork":
            return LayerGraph(layers, tuple((one.name, other.name) for one, other in pairwise(layers)))
        table = saved["Connections"]
        columns = ([str(np.ravel(cell)[0]) for cell in table[side]] for side in ("Source", "Destination"))
        return LayerGraph(layers, tuple(zip(*columns, strict=True)))
    except Exception as error:  # whatever a damaged or unforeseen structure trips over
        raise InputError(f"{path}: the network in it cannot be read ({one_line(error)}); {_EXPECTED}") from None


def _read_network_object(path: Path):
    """The MATLAB object of the network, all objects below it carrying their true class names."""
    import matio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage, which is noticed below as well
        try:
            _check_alone(path)
            size = 2**30 + 8 * path.stat().st_size
            variables = _within_memory(size, lambda: matio.whosmat(str(path)))
            networks = [name for name, (_, kind) in variables.items() if kind in NETWORK_CLASSES]
            found = _within_memory(size, lambda: _read_objects(path, networks)) if len(networks) == 1 else {}
        except Exception as error:  # the reader meets damage with whatever error comes first
            raise InputError(f"{path}: not a readable MATLAB file ({one_line(error)}); {_EXPECTED}") from None
    if len(networks) != 1:
        content = ", ".join(f"{name} ({kind})" for name, (_, kind) in variables.items()) or "nothing"
        raise InputError(f"{path}: holds {content}; {_EXPECTED}")
    return found[networks[0]]


def _check_alone(path: Path) -> None:
    """Raise ValueError for a file of version 7.3 (HDF5) that is partly in other files, which would be opened."""
    import h5py

    if not h5py.is_hdf5(path):
        return

    def elsewhere(name, item):
        if isinstance(item, h5py.ExternalLink):
            return name
        if isinstance(item, h5py.Dataset):
            stored = item.id.get_create_plist()
            if stored.get_external_count() or stored.get_layout() == h5py.h5d.VIRTUAL:
                return name
        return None

    with h5py.File(path, "r") as file:
        name = file.visititems(elsewhere) or file.visititems_links(elsewhere)
    if name:
        raise ValueError(f"{name!r:.99} is in another file")


def _within_memory(size: int, read: Callable):
    """What `read` returns; it may take so many bytes, for the reader allocates whatever a damaged header claims.

    Where there is no /proc (other systems than Linux) nothing is bound.

    Raises:
        ValueError: it takes more.
    """
    try:
        import resource

        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return read()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [bound for bound in (taken + size, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), hard))
    with contextlib.suppress(MemoryError):
        try:
            return read()
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    raise ValueError(f"it claims more than {size // 2**20} MiB of memory")


def _read_objects(path: Path, names: list[str]) -> dict:
    """The named variables of a MATLAB file.

    The public `matio.load_from_mat` gives every element of an array the class of the array, and a network's layers
    are one array of class Layer. Hence its readers are used one level down, where each object's own class is kept.
    """
    from matio.utils.matclass import MatlabOpaque
    from matio.utils.matheaders import MAT_FILE_VERSIONS, read_mat_header

    offset, version, byte_order = read_mat_header(str(path))
    if version == MAT_FILE_VERSIONS.HDF:
        import h5py
        from matio.v7.matreader7 import MatRead7, read_subsystem

        with h5py.File(path, "r") as file:
            objects = read_subsystem(file, byte_order, raw_data=False, add_table_attrs=False)
            variables = MatRead7(file, objects).get_variables(list(names))
    else:
        from matio.v5.matreader5 import MatFile5Reader, read_subsystem

        with open(path, "rb") as file:
            objects = read_subsystem(file, offset, byte_order, raw_data=False, add_table_attrs=False)
            variables = MatFile5Reader(file, byte_order, objects).get_variables(list(names))
    for number, item in objects.mcos_object_cache.items():
        if isinstance(item, MatlabOpaque):
            item.classname = objects.get_classname(objects.get_object_metadata(number)[0])
    return variables


def _fields(item) -> dict:
    """What an object saved: the structure its class's saveobj returned, or else its properties."""
    properties = item.properties
    if "any" not in properties:
        return properties
    structure = properties["any"]
    return {name: structure[0, 0][name] for name in structure.dtype.names}


def _layer(item) -> Layer:
    settings = {name: _plain(value) for name, value in _fields(item).items()}
    return Layer(str(settings["Name"]), item.classname.rpartition(".")[2], settings)


def _plain(value):
    """A saved value as str, array, dict, list or, for values of a categorical, list of str."""
    if hasattr(value, "categories"):
        return [str(item) for item in np.asarray(value).ravel(order="F")]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names:
        items = [{name: _plain(item[name]) for name in value.dtype.names} for item in value.ravel(order="F")]
        return items[0] if len(items) == 1 else items
    if value.dtype.kind in "UT":
        texts = [str(item) for item in value.ravel(order="F")]
        return texts if len(texts) > 1 else "".join(texts)
    if value.dtype == object:
        return [_plain(item) for item in value.ravel(order="F")]
    return np.asarray(value)
