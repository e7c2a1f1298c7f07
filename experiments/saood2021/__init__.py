"""The first study: 'U-Net versus SegNet' (Saood and Hatem 2021)."""
