"""
A path, and its slider
======================

The larger lambda1, the sparser the map. A *path* has the maps of many values at once, for little more than the
price of one: most of what a map costs is knowing the Hessian where it matters, and this hardly depends on lambda1.
"""

import base64
import io
from pathlib import Path

import skimage
from PIL import Image

import caso
from caso import plot
from caso.runner.models import load_model

network, preprocessing, names = load_model("efficientnet_lite0")
x = preprocessing(Image.open(Path(skimage.__file__).parent / "data" / "rocket.jpg"))[None]
path = caso.CASO(network).path(x, n=20)  # .maps [1, 20, 3, 224, 224]

figure = plot.path_strip(path, x, n=5)

# %%
# What the path took, in Hessian-vector products, and how well each of its maps solves its problem:

print(f"{int(path.hvps)} products for {path.maps.shape[1]} maps; largest residual {path.kkt_residual.max():.1e}")

# %%
# A slider over all of them. What has a method ``_repr_html_`` is shown by this page, and by notebooks likewise.


class Slider:
    """Pictures of one size, of which one is shown."""

    def __init__(self, pictures, captions):
        self.items = [(self._png(picture), caption) for picture, caption in zip(pictures, captions)]

    @staticmethod
    def _png(picture):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def _repr_html_(self):
        images = "".join(
            f'<figure style="display: {"none" if number else "block"}; margin: 0">'
            f'<img src="{png}" alt="map, {caption}" width="336"><figcaption>{caption}</figcaption></figure>'
            for number, (png, caption) in enumerate(self.items)
        )
        choose = (
            "[...this.parentNode.querySelectorAll('figure')]"
            ".forEach((one, number) => one.style.display = number == this.value ? 'block' : 'none')"
        )
        return (
            f'<div>{images}<input type="range" min="0" max="{len(self.items) - 1}" value="0" style="width: 336px" '
            f'aria-label="lambda1" oninput="{choose}"></div>'
        )


slider = Slider(
    [plot.overlay(one, x[0]) for one in path.maps[0]],
    [f"lambda1 {value:.1e}, {zeros:.1%} zeros" for value, zeros in zip(path.lambda1[0], path.sparsity[0])],
)
slider
