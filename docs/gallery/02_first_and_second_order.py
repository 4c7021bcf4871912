"""
First beside second order
=========================

The gradient says how the loss changes along single pixels; the Hessian says how pixels act together. When does it
matter?

The paper's answer: with many classes and a confident prediction the two maps nearly coincide, and with an
unconfident one they differ. Here are one photograph of either kind.
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
x = torch.stack([preprocessing(Image.open(folder / name)) for name in ("coffee.png", "astronaut.png")])

# %%
# Without an L1 penalty, ``lambda1=0``, nothing but the Hessian tells the two apart.

first = caso.CAFO(network, lambda1=0).explain(x)
second = caso.CASO(network, lambda1=0).explain(x)

titles = [f"{names[c]}, {p:.0%}" for c, p in zip(first.predicted, first.confidence)]
figure = plot.compare_maps({"first order": first, "second order": second}, x, shared=False, titles=titles)

# %%
# In a number: the cosine between the two maps of each photograph, and the distance between them once both have
# length 1.

a, b = (torch.nn.functional.normalize(result.maps.flatten(1)) for result in (first, second))
for title, cosine, distance in zip(titles, (a * b).sum(1), (a - b).norm(dim=1)):
    print(f"{title:20} cosine {cosine:.3f}   distance {distance:.3f}")

# %%
# The largest eigenvalue of the Hessian is what the solver found on the way, and the number of Hessian-vector
# products, each about as dear as one gradient, what the second map took beyond the first.

for title, eigenvalue, products in zip(titles, second.lambda_max, second.hvps):
    print(f"{title:20} largest eigenvalue {eigenvalue:6.1f}   products {products}")
