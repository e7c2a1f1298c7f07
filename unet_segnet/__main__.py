"""`python -m unet_segnet VERB ...`, the same as `unet-segnet VERB ...`."""

from unet_segnet.commands import main

if __name__ == "__main__":
    main()
