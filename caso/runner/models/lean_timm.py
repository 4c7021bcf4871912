"""timm, imported without a package that no run uses."""

from typing import Any

from caso.lean import hidden, uncollected


def import_timm() -> Any:
    """Import timm without Weights & Biases, to which only its training scripts log."""
    with hidden("wandb"), uncollected():
        import timm
    return timm
