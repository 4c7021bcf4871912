"""
First beside second order
=========================

The gradient says how the loss changes along single pixels; the Hessian says how pixels
act together. When does it matter?

The paper's answer: with many classes and a confident prediction the two maps nearly
coincide, and with an unconfident one they differ. Here is one photograph of either
kind.
"""

from pathlib import Path

import skimage
import torch
from PIL import Image

import caso
from caso import plot
from caso.runner.models import load_model

network, preprocessing, names = load_model("efficientnet_lite0")
folder = Path(skimage.__file__).parent / "data"
photographs = [Image.open(folder / file) for file in ("coffee.png", "astronaut.png")]
x = torch.stack([preprocessing(photograph) for photograph in photographs])

# %%
# Without an L1 penalty, ``lambda1=0``, nothing but the Hessian tells the two apart.

first = caso.CAFO(network, lambda1=0).explain(x)
second = caso.CASO(network, lambda1=0).explain(x)

titles = [f"{names[c]}, {p:.0%}" for c, p in zip(first.predicted, first.confidence)]
orders = {"first order": first, "second order": second}
figure = plot.compare_maps(orders, x, shared=False, titles=titles)

# %%
# In numbers: the cosine between the two maps of each photograph, and the distance
# between them once both have length 1.

a = torch.nn.functional.normalize(first.maps.flatten(1))
b = torch.nn.functional.normalize(second.maps.flatten(1))
for title, cosine, distance in zip(titles, (a * b).sum(1), (a - b).norm(dim=1)):
    print(f"{title:15} cosine {cosine:.3f}   distance {distance:.3f}")

# %%
# The solver found the largest eigenvalue of the Hessian on the way. What the second map
# took beyond the first is a few Hessian-vector products, each of which costs about as
# much as one gradient.

for title, eigenvalue, hvps in zip(titles, second.lambda_max, second.hvps):
    print(f"{title:15} largest eigenvalue {eigenvalue:5.1f}   products {hvps}")
