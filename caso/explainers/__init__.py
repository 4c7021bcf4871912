"""First- and second-order explainers: what the library's users call."""

from caso.explainers.cafo import CAFO
from caso.explainers.caso import CASO

__all__ = ["CAFO", "CASO"]
