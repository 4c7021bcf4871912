"""What may be done to a map after it is found: multiply with the image, square and normalise."""

from torch import Tensor


def times_input(maps: Tensor, inputs: Tensor) -> Tensor:
    """Multiply maps with the images they explain.

    Args:
        maps: ``[B, C, H, W]``.
        inputs: The images, of the same shape.
    """
    return maps * inputs


def magnitude(maps: Tensor) -> Tensor:
    """Square each map, then normalise it to sum 1.

    Args:
        maps: ``[B, C, H, W]``.

    Returns:
        Non-negative maps of the same shape. A map of zeros stays so.
    """
    # Divided by its peak first: gradients of confident networks are so small that their squares underflow in float32.
    peak = maps.abs().flatten(1).amax(dim=1).view(-1, *[1] * (maps.dim() - 1))
    squares = (maps / peak.where(peak > 0, 1)).square()
    total = squares.flatten(1).sum(dim=1).view_as(peak)
    return squares / total.where(total > 0, 1)
