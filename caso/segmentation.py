"""Superpixels as regions, by scikit-image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from caso.arguments import Count, NotNegative, Positive, check
from caso.extras import needs

with needs("regions", "caso.segmentation"):
    import numpy as np
    from numpy.typing import NDArray
    from skimage import segmentation


def slic(n_segments: int = 60, compactness: float = 10.0, sigma: float = 0.0) -> Callable[[Tensor], Tensor]:
    """Superpixels of similar colour (Achanta et al. 2012), found in each image `[B, C, H, W]` in [0, 1] by itself.

    Args:
        n_segments: about how many.
        compactness: the larger, the squarer.
        sigma: of the Gaussian blur before, in pixels.

    Raises:
        ValueError: an argument is out of range.
    """
    check("n_segments", n_segments, Count)
    check("compactness", compactness, Positive)
    check("sigma", sigma, NotNegative)

    def label(image: NDArray[Any]) -> NDArray[Any]:
        return segmentation.slic(
            image, n_segments, compactness, sigma=sigma, start_label=0, convert2lab=image.shape[2] == 3, channel_axis=2
        )

    return _image_by_image(label)


def felzenszwalb(scale: float = 100.0, sigma: float = 0.8, min_size: int = 200) -> Callable[[Tensor], Tensor]:
    """Regions without strong edges inside (Felzenszwalb and Huttenlocher 2004), in each image by itself.

    Args:
        scale: the larger, the larger the regions.
        sigma: of the Gaussian blur before, in pixels.
        min_size: pixels of the smallest region.

    Raises:
        ValueError: an argument is out of range.
    """
    check("scale", scale, Positive)
    check("sigma", sigma, NotNegative)
    check("min_size", min_size, Count)
    return _image_by_image(lambda image: segmentation.felzenszwalb(image, scale, sigma, min_size, channel_axis=2))


def _image_by_image(label: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Tensor], Tensor]:
    def labels(images: Tensor) -> Tensor:
        arrays = images.detach().double().cpu().permute(0, 2, 3, 1).numpy()
        return torch.from_numpy(np.stack([label(array) for array in arrays])).long().to(images.device)

    return labels
