"""What the server of `forked` imports before it forks: what every start of a command would import anew.

No device is looked for and nothing computed: a backend that has threads of its own cannot be forked.
"""

import h5py  # noqa: F401
import matplotlib.figure  # noqa: F401
import nibabel  # noqa: F401
import scipy.ndimage  # noqa: F401
import skimage.measure  # noqa: F401

from unet_segnet.output.console import _stderr_kept
from unet_segnet.processor import prepare_processor

prepare_processor()  # as commands do before the import
with _stderr_kept():
    import keras  # noqa: F401
