"""
A map in ten lines
==================

From an image file to a figure: which pixels made the network say *espresso*?

The network is an EfficientNet-Lite0 with ImageNet weights that come with the
installation, the photograph one of those inside scikit-image. Put your own file in its
place; :doc:`05_your_own_network` has another network.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import skimage
from PIL import Image

import caso
from caso import plot
from caso.runner.models import load_model

network, preprocessing, names = load_model("efficientnet_lite0")
file = Path(skimage.__file__).parent / "data" / "coffee.png"  # or "photo.jpg"

x = preprocessing(Image.open(file))[None]  # pixels from 0 to 1, [1, 3, 224, 224]
result = caso.CASO(network).auto(x, sparsity=0.95)
title = f"{names[result.predicted[0]]}, {result.confidence[0]:.0%}"

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
plot.show_image(x[0], title=title, ax=left)
plot.show_map(result.maps[0], x[0], title="CASO, 95 % zeros", ax=right)

# %%
# ``auto`` finds the weight of the L1 penalty, lambda1, that leaves five entries in a
# hundred. With a lambda1 of your own, call ``explain``.
#
# How far is this map from the exact solution of its problem? The result says so, for
# each image:

result.to_pandas().T

# %%
# ``kkt_residual`` is how far the conditions of the optimum are violated, as a fraction
# of the gradient, and ``error_bound`` what follows from it: the Euclidean distance
# between this map and the exact one is at most that. For comparison, the length of the
# map itself:

print(f"length {result.maps[0].norm():.4f}, error at most {result.error_bound[0]:.6f}")
