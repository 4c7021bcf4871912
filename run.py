"""Compute CAFO and CASO maps of images: ``python run.py order=second lambda1=1e-4``.

The work is in :mod:`caso.runner`; this file only says where the configuration lies.
"""

import sys
from pathlib import Path

from caso.runner.cli.app import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent / "conf"))
