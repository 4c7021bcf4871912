"""Which maps of a path are drawn."""

from collections.abc import Sequence


def spread(sparsities: Sequence[float], n: int) -> list[int]:
    """Choose maps of a path: most values of lambda1 give maps that look alike, so go by sparsity.

    Args:
        sparsities: Of the maps.
        n: How many are wanted.

    Returns:
        The indices of at most ``n``, rising; of maps that are all zero only where all are.
    """
    shown = [index for index, value in enumerate(sparsities) if value < 1] or list(range(len(sparsities)))
    if len(shown) <= n:
        return shown
    low, high = min(sparsities[i] for i in shown), max(sparsities[i] for i in shown)
    wanted = [low + (high - low) * k / max(1, n - 1) for k in range(n)]
    return sorted({min(shown, key=lambda i: abs(sparsities[i] - value)) for value in wanted})
