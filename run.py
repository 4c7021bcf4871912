"""Compute CAFO and CASO maps of images from a checkout: ``python run.py order=second lambda1=1e-4``.

The same as the command ``caso`` of an installed package.
"""

import gc
import sys

gc.disable()  # looking for garbage takes a sixth of the time of importing torch, and finds none
from caso.__main__ import main  # noqa: E402

gc.enable()

if __name__ == "__main__":
    sys.exit(main())
