"""Results as rows, under the names of the columns of a run's `results.csv`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

_FLOATS = (
    "confidence", "target_confidence", "lambda1", "lambda2_effective", "lambda_max", "lambda_max_error", "sparsity",
    "kkt_residual", "error_bound", "floor",
)  # fmt: skip
_INTEGERS = ("target", "predicted", "hvps")
_COLUMNS = (
    "image", "target", "predicted", "confidence", "target_confidence", "order", "lambda1", "lambda2",
    "lambda2_effective", "lambda_max", "lambda_max_error", "sparsity", "kkt_residual", "error_bound", "certificate",
    "floor", "hvps", "status", "solver", "curvature", "curvature_exact",
)  # fmt: skip


def image_row(explanation: Any, index: int) -> dict[str, Any]:
    """Collect what is known of an image's map.

    Args:
        explanation: an `Explanation`.
        index: of the image in its batch.
    """
    found: dict[str, Any] = {name: float(getattr(explanation, name)[index]) for name in _FLOATS}
    found |= {name: int(getattr(explanation, name)[index]) for name in _INTEGERS}
    return found | {
        "status": explanation.status[index],
        "solver": explanation.solver,
        "curvature": explanation.curvature,
        "curvature_exact": {True: "yes", False: "no", None: "unknown"}[explanation.curvature_exact],
        "certificate": explanation.certificate[index],
    }


def frame(result: Any) -> DataFrame:
    """An `Explanation` or a `PathExplanation` as a table: image by image, each by rising lambda1."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError('to_pandas needs pandas: pip install "caso[run]"') from error
    settings = getattr(result, "explanations", [result])
    same = {"order": "first" if result.curvature == "none" else "second", "lambda2": result.lambda2}
    rows = [{"image": index} | same | image_row(one, index) for index in range(len(result)) for one in settings]
    return DataFrame(rows, columns=list(_COLUMNS))
