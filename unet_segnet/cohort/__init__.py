"""Labelled scans of one's own: which files belong together, whose they are, and ready for the networks.

    DIR/images/NAME.nii.gz   DIR/labels/NAME.nii.gz   DIR/lungs/NAME.nii.gz      or PNG slices, or folders of slices
    manifest.csv             image,labels,lungs,patient,...: a row for each scan, wherever its files are
    classes.csv              value,name: what the label files' values mean

and the layouts of other data sets (`layouts`), such as nnU-Net's.

A folder in one of the layouts of `unet_segnet.data` (the released slices) is taken too; its patients are unknown.
"""
