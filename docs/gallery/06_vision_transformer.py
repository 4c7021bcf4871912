"""
A vision transformer
====================

Maps of a transformer need no layer, and no function that puts its tokens back into an
image. What is explained are the pixels. Attention, GELU and layer normalisation are
curved, so that the Hessian comes by double backward; the result says so.

**The weights here are random**, since this page needs no connection: the figure shows
that it works, not what a trained transformer looks at. With a connection,
``timm.create_model("vit_tiny_patch16_224", pretrained=True)`` is a trained one of 224
pixels, and everything else stays as it is.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import skimage
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

import caso
from caso import plot
from caso.regions import patches
from caso.runner.models import Normalize, ResizeAndCrop

torch.manual_seed(0)
transformer = VisionTransformer(
    img_size=96, patch_size=12, embed_dim=48, depth=3, num_heads=3, num_classes=10
)
network = torch.nn.Sequential(Normalize([0.5] * 3, [0.5] * 3), transformer)

preprocessing = ResizeAndCrop(resize=96, crop=96, resample=Image.Resampling.BICUBIC)
file = Path(skimage.__file__).parent / "data" / "chelsea.png"
x = preprocessing(Image.open(file))[None]

# %%
# Single pixels, and the transformer's own tokens as regions: the eight that matter
# most.

explainer = caso.CASO(network)
tokens = patches(12)(x)
by_pixels = explainer.auto(x, sparsity=0.9)
by_tokens = explainer.auto(x, keep=8, regions=tokens)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
plot.show_image(x[0], title="the image, 96 x 96", ax=axes[0])
plot.show_map(by_pixels.maps[0], title="pixels", ax=axes[1])
plot.show_regions(by_tokens.maps[0], tokens, x[0], title="tokens", ax=axes[2])

# %%
# Which Hessian was used, whether it is certainly that of the network, and why:

print(by_tokens.curvature, by_tokens.curvature_exact, by_tokens.evidence, sep="\n")
