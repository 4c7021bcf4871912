"""What an explainer returns: maps, and what is known of each."""

from caso.results.explanation import Curvature, Explanation, PathExplanation, Prediction
from caso.results.files import load

__all__ = ["Curvature", "Explanation", "PathExplanation", "Prediction", "load"]
