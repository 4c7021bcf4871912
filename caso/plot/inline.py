"""Pictures within a page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_uri(picture: NDArray[np.uint8], size: int) -> str:
    """Write a picture ``[H, W, 3]`` as the URI of a PNG whose longer side is ``size`` pixels."""
    image = Image.fromarray(picture)
    factor = size / max(image.size)
    wanted = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    buffer = io.BytesIO()
    image.resize(wanted, Image.Resampling.BOX).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
