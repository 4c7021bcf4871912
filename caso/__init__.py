"""Second-order, sparse, certified explanations of image classifiers."""

from caso.explainers import CAFO, CASO
from caso.results import Explanation, PathExplanation, load

__all__ = ["CAFO", "CASO", "Explanation", "PathExplanation", "__version__", "load"]

__version__ = "0.1.0"
