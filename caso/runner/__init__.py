"""Runs from the command line: configuration, models, data sets, storage and logging.

The only part of the package that knows Hydra, PyTorch Lightning and Weights & Biases. From Python, one function is of
use after a run::

    from caso.runner import load_run

    run = load_run("outputs/2026-01-31/12-00-00-000000")
    run.table                # pandas.DataFrame, a row per image and setting
    run.maps["astronaut"]    # numpy.ndarray [C, H, W]
"""

from caso.extras import needs

with needs("run", "caso.runner"):
    from caso.runner.results.store import Run, load_run

__all__ = ["Run", "load_run"]
