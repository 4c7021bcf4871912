"""
Regions
=======

A map of single pixels is a scatter of dots. With regions, pixels enter and leave a map
together: superpixels, patches, or masks of your own. The question becomes one whose
answer can be read off: which ten regions matter most?
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import skimage
import torch
from PIL import Image

import caso
from caso import plot
from caso.regions import patches
from caso.runner.models import load_model
from caso.segmentation import slic

network, preprocessing, classes = load_model("efficientnet_lite0")
file = Path(skimage.__file__).parent / "data" / "coffee.png"
x = preprocessing(Image.open(file))[None]

# %%
# Superpixels are found in each image by itself. ``keep=10`` asks for the lambda1 that
# leaves ten of them.

superpixels = slic(60)(x)  # labels, [1, 224, 224]
result = caso.CASO(network).auto(x, keep=10, regions=superpixels)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
plot.show_regions(result.maps[0], superpixels[0], x[0], title="ten regions", ax=left)
plot.show_map(result.maps[0], title="the map itself", ax=right)

# %%
# Each image has a table of its regions, by rank.

table = result.regions[0]
names = ["rank", "label", "weight", "signed_sum", "area"]
columns = {name: getattr(table, name)[:10].tolist() for name in names}
pd.DataFrame(columns).set_index("rank")

# %%
# Patches serve where the image is not to decide what belongs together, and labels of
# your own where you know it: any whole numbers, one a pixel, negative ones for what is
# to stay out of the map. Here is a question of the kind that masks can ask: what is in
# the middle, or what lies around it?

across, down = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
distance = ((across - 112) ** 2 + (down - 112) ** 2).sqrt()
rings = (distance > 55).long() + (distance > 95).long()

tiles = patches(28)(x)
by_tiles = caso.CASO(network).auto(x, keep=12, regions=tiles)
by_rings = caso.CASO(network, lambda1=0).explain(x, regions=rings)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
plot.show_regions(by_tiles.maps[0], tiles, x[0], title="patches", ax=left)
plot.show_regions(by_rings.maps[0], rings, x[0], title="rings", ax=right)

# %%
# Two warnings. Coarse maps score higher by many metrics whatever they show, so compare
# methods over the same regions. And a region is not important because it is large: its
# weight is a mean over its entries.
