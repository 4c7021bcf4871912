"""
Reading a run in pandas
=======================

A run leaves one directory, and ``load_run`` reads it: while the run goes on, after it was interrupted, or from a
hundred processes of a cluster. Its table is a ``pandas.DataFrame`` with a row for each image and setting.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from caso.runner import load_run

directory = Path(tempfile.mkdtemp()) / "run"
arguments = [
    "order=second",
    "regularization=path",
    "regularization.n=12",
    "dataset.names=[coffee,camera,chelsea,rocket]",
]
subprocess.run(
    [sys.executable, "-m", "caso", *arguments, f"hydra.run.dir={directory}"], check=True, capture_output=True
)

run = load_run(directory)
run.table[
    ["image", "predicted_name", "confidence", "lambda1", "sparsity", "kkt_residual", "certificate", "status"]
].head()

# %%
# An image has as many rows here as its path has values of lambda1. How does sparsity follow from it?

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for image, rows in run.table.groupby("image"):
    confidence = rows["confidence"].iloc[0]
    ax.semilogx(rows["lambda1"], rows["sparsity"], "o-", markersize=3, label=f"{image}, {confidence:.0%}")
ax.set_xlabel("lambda1")
ax.set_ylabel("fraction of zeros")
ax.legend()

# %%
# To keep what is certain: maps whose residual is small, and known by true products rather than estimated.

sure = run.table[(run.table["kkt_residual"] <= 1e-3) & (run.table["certificate"] == "product")]
sure.groupby("image")[["kkt_residual", "error_bound"]].agg(["count", "max"])

# %%
# The maps are numpy arrays, in the order of the table's rows, read when they are asked for.

maps = run.maps["rocket"]
print(maps.shape, maps.dtype)
print(run.summary)
