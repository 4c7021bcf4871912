"""What one device computes held against another: maps, and runs of the program in two processes or resumed elsewhere.

    python scripts/check_devices.py --devices cpu,cuda
    python scripts/check_devices.py --devices cpu,cpu --networks efficientnet_lite0 --images 1

Writes a table in Markdown and a JSON file into a folder; the exit status is 1 if a check failed. With twice the same
device, what differs is nothing but the order of sums, if that.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

import device_runs
from benchmarks.networks import NAMES, load

import caso
from caso.curvature import quadratic_model
from caso.network import prepare
from caso.objective import kkt_residual

NEAR_FLOOR = 30.0
"""How many times its floor a float32 residual may be that rounding explains; the solver's own figure."""
FLOAT64 = 1e-8
"""Largest distance of float64 maps, as a fraction of their norm."""


@dataclass(frozen=True)
class Check:
    """What was seen.

    Attributes:
        name: of the check.
        subject: the network, or the program.
        seen: the figure.
        limit: the largest that is allowed.
        note: what else was seen, or why nothing was.
    """

    name: str
    subject: str
    seen: float | None
    limit: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the figure is within its limit; a missing one says nothing."""
        if self.seen is None:
            return "not tried"
        return "ok" if self.limit is None or self.seen <= self.limit else "FAILED"


def distance(a: Tensor, b: Tensor) -> float:
    """The largest distance of two batches' images, as a fraction of the first one's norm."""
    a, b = (t.flatten(1).cpu().double() for t in (a, b))
    return float(((a - b).norm(dim=1) / a.norm(dim=1).clamp_min(1e-300)).max())


def foreign_residual(network: nn.Module, images: Tensor, targets: Tensor, result: caso.Explanation) -> Tensor:
    """The residuals `[B]` of maps from elsewhere for the network as it runs on its own device."""
    model = quadratic_model(prepare(network, images), images, targets)
    device = images.device
    delta = result.maps.flatten(1).to(device)
    lambda1, l2 = result.lambda1.to(device), result.lambda2_effective.to(device)
    return kkt_residual(delta, model.gradient.flatten(1), model.hvp(delta), lambda1, l2)


def float32(name: str, network: nn.Module, images: Tensor, devices: list[str]) -> Iterator[Check]:
    """Maps and paths of both devices, and each device's maps by the other one's network.

    In float32 two devices do not run quite the same function: activations near zero fall on either side. What the
    solver answers for is its map under the function as it was run, so the first device's map is judged by the second
    one's gradient and Hessian, too.
    """
    with torch.no_grad():
        targets = network.to(devices[0])(images.to(devices[0])).argmax(1).cpu()
    results, gradients = [], []
    for device in devices:
        own, x, t = network.to(device), images.to(device), targets.to(device)
        explainer = caso.CASO(own, images_ahead=1000)
        results.append((explainer.explain(x, t), explainer.path(x, n=5, target=t)))
        gradients.append(caso.CAFO(own, lambda1=0.0).attribute(x, t))
        for status in results[-1][0].status:
            yield Check(f"status on {device}", name, float(status not in ("converged", "floor")), 0.0, status)
    (first, first_path), (second, second_path) = results
    yield Check("probabilities, float32", name, distance(first.probabilities, second.probabilities), 1e-3)
    yield Check("gradients, float32", name, distance(*gradients))
    yield Check("maps, float32", name, distance(first.maps, second.maps))
    yield Check("path of 5, float32", name, distance(first_path.maps, second_path.maps))
    residual = foreign_residual(network.to(devices[1]), images.to(devices[1]), targets.to(devices[1]), first)
    floor = float((first.floor.cpu() + second.floor.cpu()).max())
    allowed = 1e-3 + NEAR_FLOOR * floor
    note = f"floor {floor:.1e}; own residual {float(first.kkt_residual.max()):.1e}"
    yield Check(f"maps of {devices[0]} by the network of {devices[1]}", name, float(residual.max()), allowed, note)


def float64(name: str, network: nn.Module, images: Tensor, devices: list[str]) -> Iterator[Check]:
    """Maps of both devices in float64, solved until the tolerance no longer shows."""
    double, image = network.double(), images[:1].double()
    maps = []
    for device in devices:
        explainer = caso.CASO(double.to(device), tol=1e-11)
        maps.append(explainer.explain(image.to(device), 0).maps)
    yield Check("maps, float64", name, distance(*maps), FLOAT64)
    network.float()


def memory(name: str, network: nn.Module, images: Tensor, device: str) -> Iterator[Check]:
    """Chunks are halved where a GPU's memory runs out, and maps stay what they are."""
    if torch.device(device).type != "cuda":
        yield Check("out of memory halves", name, None, note="the processor's memory is the whole machine's")
        return
    own, x = network.to(device), images.repeat(-(-64 // len(images)), 1, 1, 1)[:64].to(device)
    small = caso.CASO(own, batch_size=4).attribute(x, 0)
    explainer = caso.CASO(own, batch_size=64)
    explainer.prepare(x)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    explainer.attribute(x[:16], 0)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(1.5 * torch.cuda.max_memory_allocated(device) / total, device)
    try:
        maps = explainer.attribute(x, 0)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    size = explainer._chunks.size or len(x)
    yield Check("out of memory halves", name, float(size >= len(x)), 0.0, f"64 images went {size} at once")
    yield Check("maps in halved chunks", name, distance(small, maps), 1e-2)


def attempt(name: str, subject: str, checks: Callable[[], Iterator[Check]]) -> list[Check]:
    """Do some checks; an error is a failed one, and the others go on."""
    done: list[Check] = []
    try:
        done.extend(checks())
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        done.append(Check(name, subject, float("inf"), 0.0, f"{type(error).__name__}: {line}"))
    return done


def table(checks: list[Check]) -> str:
    """All checks, in Markdown."""
    lines = ["| check | of | seen | limit | verdict | note |", "| --- | --- | --- | --- | --- | --- |"]
    for one in checks:
        numbers = ["" if value is None else f"{value:.1e}" for value in (one.seen, one.limit)]
        cells = [one.name, one.subject, *numbers, one.verdict, one.note.replace("|", "/")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def all_checks(names: list[str], images: int, devices: list[str]) -> Iterator[list[Check]]:
    """Checks of each network, then of the program, one after the other."""
    for name in names:
        network, pixels, _, _ = load(name, images, None)
        yield attempt("float32", name, lambda n=name, m=network, x=pixels: float32(n, m, x, devices))
        yield attempt("float64", name, lambda n=name, m=network, x=pixels: float64(n, m, x, devices))
        yield attempt("memory", name, lambda n=name, m=network, x=pixels: memory(n, m, x, devices[1]))
    with tempfile.TemporaryDirectory() as folder:
        for title, run in (("two processes", device_runs.two_processes), ("resume", device_runs.resumed_elsewhere)):

            def seen(title: str = title, run: Callable[..., Iterator[device_runs.Seen]] = run) -> Iterator[Check]:
                return (Check(title, "the program", *figures) for figures in run(Path(folder), devices))

            yield attempt(title, "the program", seen)


def write(checks: list[Check], folder: Path) -> None:
    """Write what was seen so far, for people and for programs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checks.md").write_text(table(checks) + "\n")
    records = [asdict(one) | {"verdict": one.verdict} for one in checks]
    (folder / "checks.json").write_text(json.dumps(records, indent=1) + "\n")


def main() -> int:
    """Check, print and write.

    Returns:
        0 if no check failed.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", default="cpu,cuda", help="two, comma-separated")
    names_help = f"some of {', '.join(NAMES)}, comma-separated; or none"
    parser.add_argument("--networks", default=",".join(NAMES), help=names_help)
    parser.add_argument("--images", type=int, default=3, help="photographs a network explains")
    parser.add_argument("--output", type=Path, help="folder for checks.md and checks.json (none is written)")
    chosen = parser.parse_args()
    devices = chosen.devices.split(",")
    if len(devices) != 2:
        parser.error("--devices takes two, as cpu,cuda")
    names = [] if chosen.networks == "none" else chosen.networks.split(",")
    for name in names:
        if name not in NAMES:
            parser.error(f"--networks: {name!r} is not among {', '.join(NAMES)}")
    checks: list[Check] = []
    for found in all_checks(names, chosen.images, devices):
        checks += found
        if chosen.output is not None:  # what is known is kept if time runs out
            write(checks, chosen.output)
    print(table(checks))
    return int(any(one.verdict == "FAILED" for one in checks))


if __name__ == "__main__":
    sys.exit(main())
