"""What was measured, as a table and in words."""

from __future__ import annotations

from statistics import median
from typing import Any

from rich.table import Table


def table(record: dict[str, Any]) -> Table:
    """One network, device and batch size."""
    unit = record["unit_seconds_median"]
    low, high = record["unit_seconds_spread"]
    title = (
        f"{record['model']} ({record['weights']}), batch {record['batch']}, {record['environment']['device']}\n"
        f"a gradient: {unit:.4f} s a batch ({low:.4f} to {high:.4f})"
    )
    result = Table(title=title, title_justify="left")
    headings = (
        "method",
        "gradients",
        "worst",
        "batches",
        "seconds",
        "memory / gradient's",
        "residual",
        "HVPs",
        "status",
    )
    for heading in headings:
        result.add_column(heading, justify="left" if heading in ("method", "status") else "right")
    for row in record["methods"]:
        if "error" in row:
            result.add_row(row["method"], *[""] * (len(headings) - 2), row["error"])
            continue
        residual = f"{row['residual_worst']:.1e}" if "residual_worst" in row else ""
        hvps = f"{row['hvps_median']:g}, {row['hvps_worst']}" if "hvps_worst" in row else ""
        memory = f"{row['peak_relative']:.2f}" if "peak_relative" in row else ""
        status = ", ".join(f"{k} {v}" for k, v in row.get("status", {}).items())
        cells = [row["method"], f"{row['gradients_median']:.2f}", f"{row['gradients_worst']:.2f}", str(row["batches"])]
        result.add_row(*cells, f"{row['seconds_median']:.3f}", memory, residual, hvps, status)
    return result


def remarks(record: dict[str, Any]) -> list[str]:
    """Ratios between methods, and what was checked outside the timing."""
    measured = [row for row in record["methods"] if "error" not in row]
    cost = {row["method"]: row["gradients_median"] for row in measured}
    seconds = {row["method"]: row["seconds_median"] for row in measured}
    rows = {row["method"]: row["gradients"] for row in measured}
    lines = []
    for other, factor in (
        ("Captum integrated gradients, 50", "CASO is {:.3f} of Captum's integrated gradients"),
        ("CASO, paper's algorithm", "CASO is {:.3f} of the paper's algorithm on the captured network"),
        (
            "CASO, paper's algorithm, user's network",
            "CASO is {:.3f} of the paper's algorithm on the network as it is, as the released program runs it",
        ),
    ):
        if other in cost:
            lines.append(factor.format(cost["CASO"] / cost[other]))
    own = median(p / m for p, m in zip(rows["CASO, path of 20"], rows["CASO"], strict=True))
    ratio = cost["CASO, path of 20"] / cost["CASO"]
    lines.append(f"a path of 20 values is {ratio:.2f} of one map (median of the batches' own ratios {own:.2f})")
    true, path = record["path_true_residual"], seconds["CASO, path of 20"]
    lines.append(f"path residuals by true products: median {true['median']:.1e}, worst {true['worst']:.1e}")
    rate = 20 * record["batch"] / path
    minutes = 50_000 * path / record["batch"] / 60
    images = f"{record['batch'] / path:.1f} images, {rate:.1f} maps a second on the path"
    lines.append(f"{images}; 50 000 images would take {minutes:.0f} min")
    lines.append("set-up, seconds: " + ", ".join(f"{k} {v:.2f}" for k, v in record["set_up_seconds"].items()))
    return lines
