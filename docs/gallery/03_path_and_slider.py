"""
A path, and its slider
======================

The larger lambda1, the sparser the map. A *path* has the maps of many values at once,
for little more than the price of one: most of what a map costs is knowing the Hessian
where it matters, and this hardly depends on lambda1.
"""

from pathlib import Path

import skimage
from PIL import Image

import caso
from caso import plot
from caso.plot.inline import data_uri
from caso.runner.models import load_model

network, preprocessing, names = load_model("efficientnet_lite0")
file = Path(skimage.__file__).parent / "data" / "rocket.jpg"
x = preprocessing(Image.open(file))[None]
path = caso.CASO(network).path(x, n=20)  # .maps [1, 20, 3, 224, 224]

figure = plot.path_strip(path, x, n=5)

# %%
# What the path took, in Hessian-vector products, and how well its maps solve their
# problem:

print(f"{int(path.hvps)} products for {path.maps.shape[1]} maps")
print(f"largest residual {path.kkt_residual.max():.1e}")

# %%
# A slider over all of them. Whatever has a method ``_repr_html_`` is shown by this
# page, and by notebooks likewise.


class Slider:
    """Pictures, one of which is shown; a slider says which."""

    def __init__(self, pictures, captions):
        self.figures = [
            f'<figure style="margin: 0" {"hidden" if number else ""}>'
            f'<img src="{data_uri(picture, 336)}" alt=""><p>{caption}</p></figure>'
            for number, (picture, caption) in enumerate(zip(pictures, captions))
        ]

    def _repr_html_(self):
        show = "(figure, number) => figure.hidden = number != this.value"
        figures = "this.parentNode.querySelectorAll('figure')"
        return (
            f'<div style="width: 336px">{"".join(self.figures)}'
            f'<input type="range" value="0" max="{len(self.figures) - 1}" '
            'style="width: 100%" aria-label="which value of lambda1" '
            f'oninput="{figures}.forEach({show})"></div>'
        )


pictures = [plot.overlay(one, x[0]) for one in path.maps[0]]
values = zip(path.lambda1[0], path.sparsity[0])
captions = [f"lambda1 {lambda1:.1e}, {zeros:.1%} zeros" for lambda1, zeros in values]
slider = Slider(pictures, captions)
slider
