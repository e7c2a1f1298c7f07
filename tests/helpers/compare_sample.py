"""A data set for tests of the second study."""


def write_sample(folder):
    """Ten phantom slices and two volumes of three, 48x48, in MedSeg's layout; returns the folder."""
    from unet_segnet.data.phantom import write_phantom

    write_phantom(folder, num_slices=10, seed=1, size=48, volumes=2, volume_slices=3)
    return folder
