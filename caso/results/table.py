"""Results as rows, under the names of the columns of a run's `results.csv`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from caso.extras import needs

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


def image_rows(explanation: Any) -> list[dict[str, Any]]:
    """Collect what an `Explanation` says of each image's map, under the names of the columns."""
    # Of all images at once: each reading waits for the device.
    numbers = torch.stack([getattr(explanation, name).double() for name in _FLOATS], 1).tolist()
    counts = torch.stack([getattr(explanation, name) for name in _INTEGERS], 1).tolist()
    same = {
        "order": "first" if explanation.curvature == "none" else "second",
        "solver": explanation.solver,
        "curvature": explanation.curvature,
        "curvature_exact": {True: "yes", False: "no", None: "unknown"}[explanation.curvature_exact],
    }
    words = zip(explanation.status, explanation.certificate, strict=True)
    return [
        dict(zip(_FLOATS, floats, strict=True))
        | dict(zip(_INTEGERS, integers, strict=True))
        | {**same, "status": status, "certificate": certificate}
        for floats, integers, (status, certificate) in zip(numbers, counts, words, strict=True)
    ]


def frame(result: Any) -> DataFrame:
    """An `Explanation` or a `PathExplanation` as a table: image by image, each by rising lambda1."""
    with needs("run", "to_pandas"):
        from pandas import DataFrame
    settings = getattr(result, "explanations", [result])
    rows = [
        {"image": index, "lambda2": result.lambda2} | row
        for index, of_image in enumerate(zip(*map(image_rows, settings), strict=True))
        for row in of_image
    ]
    return DataFrame(rows, columns=list(_COLUMNS))
