"""
Comparing methods, with intervals
=================================

Which method's maps are more faithful? A mean alone does not say: on few images, methods differ by chance. So each
score comes with a bootstrap interval, and two methods are compared image by image.

Two of the methods know nothing of the network: ``random`` is noise, and ``edges`` draws the image's own edges. What
does not beat them has shown nothing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import skimage
import torch
from PIL import Image

import caso
from caso.baselines import make_baseline
from caso.metrics import Case, make_metric, summarise
from caso.runner.models import load_model

network, preprocessing, _ = load_model("efficientnet_lite0")
folder = Path(skimage.__file__).parent / "data"
files = ["coffee.png", "camera.png", "chelsea.png", "rocket.jpg", "astronaut.png"]
x = torch.stack([preprocessing(Image.open(folder / name).convert("RGB")) for name in files])
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
insertion = make_metric("insertion", steps=8)
scores = {name: insertion.score(Case(network, x, method.attribute(x, t), t)).values for name, method in methods.items()}

summaries = {name: summarise(values) for name, values in scores.items()}
means = pd.DataFrame(
    {name: [one.mean, *one.mean_interval] for name, one in summaries.items()}, ["mean", "from", "to"]
).T
means.round(3)

# %%
# These intervals are wide, and overlap: five images are few. But the images are the same for all methods, and an
# image that is easy for one is easy for the others. The differences, image by image, say more.

differences = {name: summarise(scores["CASO"] - values) for name, values in scores.items() if name != "CASO"}

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for row, one in enumerate(differences.values()):
    low, high = one.mean_interval
    clear = low > 0 or high < 0
    ax.plot([low, high], [row, row], color="C0" if clear else "0.6", linewidth=3)
    ax.plot(one.mean, row, "o", color="C0" if clear else "0.6")
ax.axvline(0, color="0.3", linewidth=1)
ax.set_yticks(range(len(differences)), differences)
ax.invert_yaxis()
ax.set_xlabel("insertion of CASO minus that of the method")

# %%
# To the right of the line CASO is better, to the left the other method. Grey intervals include zero: these images
# do not tell those methods apart. By another metric the order may be another one; :doc:`../metrics` has them all,
# with what is to be said against each.
