"""PyTorch Lightning, imported without what its metrics could use: they are for training, and no run has any."""

import sys

from caso.lean import forget, hidden

_LOADED = "torchmetrics" in sys.modules

with hidden("matplotlib", "scipy", "torchvision"):
    import pytorch_lightning as pl
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

if not _LOADED:  # a network of the user's that has metrics must find them whole
    forget("torchmetrics")

__all__ = ["LightningEnvironment", "pl"]
