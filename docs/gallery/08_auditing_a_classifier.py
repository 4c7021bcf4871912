"""
Auditing a classifier over a folder
===================================

A folder of photographs, one subfolder a class: where is the network wrong, where is it
unsure, and what was it looking at? This is a job for the command line. It explains as
many images as there are, on all processors or graphics cards, goes on after an
interruption, and keeps a row for each image, failures included.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import skimage

from caso.runner import load_run

# %%
# A small folder, made of photographs inside scikit-image. The names of the subfolders
# are those of ImageNet's classes. One file is no image, as happens.

folder = Path(tempfile.mkdtemp())
photographs = Path(skimage.__file__).parent / "data"
labelled = {
    "espresso": "coffee.png",
    "tripod": "camera.png",
    "Egyptian cat": "chelsea.png",
    "missile": "rocket.jpg",
    "space shuttle": "astronaut.png",
}
for name, file in labelled.items():
    (folder / name).mkdir()
    (folder / name / file).write_bytes((photographs / file).read_bytes())
(folder / "espresso" / "broken.png").write_bytes(b"not an image")

# %%
# In a shell this is ``caso``, or in a checkout ``python run.py``, with these arguments.
# The five superpixels that matter most are sought in each photograph. The exit status
# says that not every image has a map.

arguments = [
    "order=second",
    "regions=slic",
    "regularization=auto",
    "regions.keep=5",
    "dataset=imagefolder",
    f"dataset.root={folder}",
    f"hydra.run.dir={folder / 'run'}",
]
command = [sys.executable, "-m", "caso", *arguments]
print("exit status", subprocess.run(command, capture_output=True).returncode)

# %%
# The table has a row for each image.

run = load_run(folder / "run")
columns = ["label_name", "predicted_name", "confidence", "correct", "status", "message"]
run.table[columns]

# %%
# The images to look at first are those that it got wrong, and those of which it was
# unsure. Their pictures are files of the run, which ``report.html`` there shows
# together.

explained = run.table[run.table["status"] == "converged"]
doubtful = explained.sort_values(["correct", "confidence"]).head(2)

figure, axes = plt.subplots(2, 1, figsize=(9, 8), layout="constrained")
for ax, (_, row) in zip(axes, doubtful.iterrows()):
    ax.imshow(plt.imread(run.directory / row["picture"]))
    ax.set_title(f"labelled {row['label_name']}, predicted {row['predicted_name']}")
    ax.set_axis_off()

# %%
# Over many images, by class: accuracy, confidence, and means of whatever metrics the
# run was asked for.

run.classes
