"""Compute CAFO and CASO maps of images from a checkout: ``python run.py order=second lambda1=1e-4``.

The same as the command ``caso`` of an installed package.
"""

import sys

from caso.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
