"""Which curvature operator each architecture gets, how exact it is and what it costs.

    python scripts/architectures.py
    python scripts/architectures.py --only resnet18,convnext_tiny --output architectures.json
    python scripts/architectures.py --page docs/models.md

Weights are random, with the statistics of photographs. The oracle is a double backward through the network as its
library made it, in float64, with none of the package's code. The unit of cost is a forward and a backward pass to the
pixels through the same network in float32.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks.measure import peak_bytes
from benchmarks.zoo import ARCHITECTURES, Architecture, fitted, in_float64, photographs

from caso.curvature import QuadraticModel, exactness, quadratic_model, resolve_operator, trace
from caso.network import Prepared, prepare
from caso.network.functional import NotCapturableError

BEGIN, END = "<!-- architectures: begin -->", "<!-- architectures: end -->"
Make = Callable[[Tensor, Tensor], QuadraticModel]
_BATCH = 4
_REPEATS = 5


def oracle(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """A direction, and the Hessian's product with it, by double backward through the user's network.

    Args:
        network: in float64.
        image: `[1, 3, H, W]` in float64.
    """
    x = image.clone().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        logits = network(x)
    loss = nn.functional.cross_entropy(logits, logits.detach().argmax(1))
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    random = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    direction = gradient.detach() / gradient.detach().norm() + random / random.norm()
    (product,) = torch.autograd.grad(gradient, x, direction)
    return direction, product


def difference(prepared: Prepared, image: Tensor, direction: Tensor, expected: Tensor) -> float:
    """Of the chosen operator's product from the oracle's, as a fraction of the latter."""
    model = quadratic_model(prepared, image, torch.full((len(image),), -1))
    product = model.hvp(direction.to(image.dtype)).detach().double()
    return float((product - expected).norm() / expected.norm())


def gradient(network: nn.Module, images: Tensor) -> Tensor:
    """The unit of cost."""
    x = images.detach().requires_grad_()
    logits = network(x)
    loss = nn.functional.cross_entropy(logits, logits.detach().argmax(1), reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def ratio(call: Callable[[], Any], unit: Callable[[], Any]) -> float:
    """Seconds of a call over those of the unit: medians, taken in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for repeat in range(_REPEATS + 1):
        for seconds, one in zip(taken, (call, unit), strict=True):
            start = time.perf_counter()
            one()
            if repeat:  # the first warms up
                seconds.append(time.perf_counter() - start)
    return median(taken[0]) / median(taken[1])


def traced(prepared: Prepared, images: Tensor, row: dict[str, Any]) -> Make:
    """The chosen operator, traced where that is possible; adds to `row` whether it was."""
    row["captured"], row["traced"] = prepared.captured, False
    try:
        start = time.perf_counter()
        make = trace(prepared, images, row["operator"])
        row["traced"], row["seconds_to_trace"] = True, time.perf_counter() - start
        return make
    except NotCapturableError as reason:
        row["why_not_traced"] = str(reason)
    return lambda x, target: quadratic_model(prepared, x, target)


def costs(network: nn.Module, make: Make, images: Tensor) -> dict[str, float]:
    """What a product takes, in gradients."""
    target = torch.full((len(images),), -1)
    model = make(images, target)
    product, direction = model.hvp, model.gradient
    row = {"hvp_gradients": ratio(lambda: product(direction), lambda: gradient(network, images))}
    model = product = None  # what they keep is not to count twice

    def whole() -> None:
        made = make(images, target)
        made.hvp(made.gradient)

    used, unit = peak_bytes(whole, images.device)[0], peak_bytes(lambda: gradient(network, images), images.device)[0]
    if used is not None and unit:
        row["memory_gradients"] = used / unit
    return row


def measure(architecture: Architecture, images: Tensor, build: Callable[[], nn.Module] | None = None) -> dict[str, Any]:
    """Everything about one architecture; where something fails, what and why.

    Args:
        architecture: which.
        images: photographs `[N, 3, size, size]`, pixels from 0 to 1.
        build: makes the network in eval mode, in place of the library.
    """
    row: dict[str, Any] = {"library": architecture.library, "name": architecture.name, "size": architecture.size}
    try:
        network = (build or architecture.build)()
        row["parameters"] = sum(p.numel() for p in network.parameters())
        if row["parameters"]:
            network = fitted(network, images)
        prepared, image = prepare(network, images), images[:1]
        direction, expected = oracle(in_float64(network), image.double())
        row["product_norm"] = float(expected.norm())
        row["difference_float64"] = difference(prepare(network, image.double()), image.double(), direction, expected)
        row["difference_float32"] = difference(prepared, image, direction, expected)
        row["operator"] = resolve_operator(prepared, "auto")
        row["exact"], row["evidence"] = exactness(prepared, "auto")
        row |= costs(network, traced(prepared, images, row), images[:_BATCH])
    except Exception as error:  # whatever a network may raise: it is one row of many
        row["error"] = " ".join(f"{type(error).__name__}: {error}".split())
    return row


def _short(row: dict[str, Any]) -> str:
    evidence = str(row["evidence"]).replace("every operation is piecewise linear", "all piecewise linear")
    found = re.match(r"(?:aten\.)?(\w+)[.\w]* is not (?:known to be )?piecewise linear(.*)", evidence)
    text = f"`{found[1]}`{found[2]}" if found else evidence
    return text.replace("|", "\\|")


def _reason(error: str) -> str:
    kind, _, text = error.partition(": ")
    return (text or kind).replace("|", "\\|")


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| architecture | library | pixels | graph | operator | because of | float64 | float32 | HVP | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [row["name"], row["library"].replace("torchvision.quantization", "torchvision, quantised")]
        cells += [str(row["size"])]
        if "error" in row:
            cells += ["", "refused", _reason(row["error"]), "", "", "", ""]
        else:
            graph = "traced" if row["traced"] else "captured" if row["captured"] else "no"
            cells += [graph, row["operator"], _short(row)]
            cells += [f"{row['difference_float64']:.0e}", f"{row['difference_float32']:.0e}"]
            memory = row.get("memory_gradients")
            cells += [f"{row['hvp_gradients']:.2f}", "" if memory is None else f"{memory:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_into(page: Path, text: str) -> None:
    """Put a text between the markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    before, found, rest = page.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{page}: has no {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Measure, print and write.

    Returns:
        0 if only quantised networks were refused.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="names, comma-separated (all)")
    parser.add_argument("--output", type=Path, default=Path("architectures.json"), help="JSON file to write")
    parser.add_argument("--page", type=Path, help="a page between whose markers the table goes")
    chosen = parser.parse_args()
    wanted = chosen.only.split(",") if chosen.only else [a.name for a in ARCHITECTURES]
    if unknown := set(wanted) - {a.name for a in ARCHITECTURES}:
        parser.error(f"--only: {', '.join(sorted(unknown))} not among {', '.join(a.name for a in ARCHITECTURES)}")
    picked = [a for a in ARCHITECTURES if a.name in wanted]
    rows = []
    for place, architecture in enumerate(picked, 1):
        start = time.perf_counter()
        rows.append(measure(architecture, photographs(architecture.size)))
        told = rows[-1].get("error") or f"{rows[-1]['operator']}, {rows[-1]['difference_float64']:.0e}"
        took = time.perf_counter() - start
        print(f"{place} of {len(picked)}: {architecture.name}, {took:.1f} s: {told}", file=sys.stderr, flush=True)
        gc.collect()
        record = {"torch": torch.__version__, "threads": torch.get_num_threads(), "batch": _BATCH, "rows": rows}
        chosen.output.write_text(json.dumps(record, indent=1) + "\n")
    print(table(rows))
    if chosen.page:
        write_into(chosen.page, table(rows))
    return int(any("error" in row and "quantization" not in row["library"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
