"""
Reading a run in pandas
=======================

A run leaves one directory, and ``load_run`` reads it: while the run goes on, after it
was interrupted, or from a hundred processes of a cluster. Its table is a
``pandas.DataFrame`` with a row for each image and setting.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from caso.runner import load_run

directory = Path(tempfile.mkdtemp()) / "run"
command = [sys.executable, "-m", "caso"]
command += [
    "order=second",
    "regularization=path",
    "regularization.n=12",
    "dataset.names=[coffee,camera,chelsea,rocket]",
    f"hydra.run.dir={directory}",
]
subprocess.run(command, check=True, capture_output=True)

run = load_run(directory)
columns = ["image", "confidence", "lambda1", "sparsity", "kkt_residual", "certificate"]
run.table[columns].head()

# %%
# An image has as many rows here as its path has values of lambda1. How does sparsity
# follow from it?

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for image, rows in run.table.groupby("image"):
    label = f"{image}, {rows['confidence'].iloc[0]:.0%}"
    ax.semilogx(rows["lambda1"], rows["sparsity"], "o-", markersize=3, label=label)
ax.set_xlabel("lambda1")
ax.set_ylabel("fraction of zeros")
ax.legend()

# %%
# Every row says how its residual is known. On a path, products taken nearby serve for
# most values of lambda1, which is why a path costs little more than a map; their
# residuals are estimates. ``regularization=fixed`` and ``auto`` certify each map by
# true products.

run.table.groupby(["image", "certificate"])["kkt_residual"].agg(["count", "max"])

# %%
# The maps are numpy arrays, in the order of the table's rows, read when they are asked
# for.

maps = run.maps["rocket"]
print(maps.shape, maps.dtype)
