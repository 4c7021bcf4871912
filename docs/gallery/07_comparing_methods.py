"""
Comparing methods, with intervals
=================================

Which method's maps are more faithful? A mean alone does not say: on few images, methods
differ by chance. So each score comes with a bootstrap interval, and two methods are
compared image by image.

Two of the methods know nothing of the network: ``random`` is noise, and ``edges`` draws
the image's own edges. What does not beat them has shown nothing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import skimage
import torch
from PIL import Image

import caso
from caso import plot
from caso.baselines import make_baseline
from caso.metrics import Case, make_metric, summarise
from caso.runner.models import load_model

network, preprocessing, _ = load_model("efficientnet_lite0")
folder = Path(skimage.__file__).parent / "data"
files = ["coffee.png", "camera.png", "chelsea.png", "rocket.jpg", "astronaut.png"]
photographs = [Image.open(folder / file).convert("RGB") for file in files]
x = torch.stack([preprocessing(photograph) for photograph in photographs])
t = network(x).argmax(1)

# %%
# Every method has ``attribute``, and so has every explainer.

methods = {
    "CAFO": caso.CAFO(network),
    "CASO": caso.CASO(network),
    "SmoothGrad": make_baseline("smoothgrad", network, n_samples=4),
    "Grad-CAM": make_baseline("gradcam", network),
    "edges": make_baseline("edges", network),
    "random": make_baseline("random", network),
}
maps = {name: method.attribute(x, t) for name, method in methods.items()}
figure = plot.compare_maps(maps, x, style="magnitude", shared=False, size=1.5)

# %%
# Insertion puts the most relevant pixels into a blurred image first, and follows the
# probability of the class: the higher, the better.

insertion = make_metric("insertion", steps=8)
scores = {}
for name, found in maps.items():
    scores[name] = insertion.score(Case(network, x, found, t)).values

summaries = {name: summarise(values) for name, values in scores.items()}
table = {name: [one.mean, *one.mean_interval] for name, one in summaries.items()}
pd.DataFrame(table, index=["mean", "from", "to"]).T.round(3)

# %%
# These intervals are wide, and overlap: five images are few. But the images are the
# same for all methods, and an image that is easy for one is easy for the others. The
# differences, image by image, say more.

others = [name for name in scores if name != "CASO"]
differences = [summarise(scores["CASO"] - scores[name]) for name in others]

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for row, one in enumerate(differences):
    low, high = one.mean_interval
    colour = "C0" if low > 0 or high < 0 else "0.6"
    ax.plot([low, high], [row, row], color=colour, linewidth=3)
    ax.plot(one.mean, row, "o", color=colour)
ax.axvline(0, color="0.3", linewidth=1)
ax.set_yticks(range(len(others)), others)
ax.invert_yaxis()
ax.set_xlabel("insertion of CASO minus that of the method")

# %%
# To the right of the line CASO is better, to the left the other method. Grey intervals
# include zero: these images do not tell those methods apart. By another metric the
# order may be another one; :doc:`../metrics` has them all, with what is to be said
# against each.
