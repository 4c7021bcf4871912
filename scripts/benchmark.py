"""Cost of CAFO and CASO maps in units of one gradient, beside the paper's algorithm and Captum's methods.

    python scripts/benchmark.py --quick
    python scripts/benchmark.py --overhead
    python scripts/benchmark.py --metrics
    python scripts/benchmark.py --models resnet50 --batches 1,8,64 --output benchmark.json

The unit is one forward pass and one backward pass to the pixels of the network as a user has it: in eval mode, not
folded, in the contiguous memory layout. Ratios within one run are what counts; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmarks import overhead, scores
from benchmarks.networks import NAMES, load
from benchmarks.run import measure, set_up_seconds
from benchmarks.tables import remarks, table


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", default="efficientnet_lite0,resnet50", help=f"some of {', '.join(NAMES)}, comma-separated"
    )
    parser.add_argument("--batches", default="1,8", help="batch sizes, comma-separated")
    parser.add_argument("--photos", type=int, help="how many of the embedded photographs (all)")
    parser.add_argument("--devices", help="such as cpu,cuda (every device present)")
    parser.add_argument("--weights", help="a state dict for resnet50 (torch's cache, or random weights)")
    parser.add_argument("--threads", type=int, help="CPU threads (torch's default)")
    parser.add_argument("--quick", action="store_true", help="three photographs, without the paper's algorithm")
    parser.add_argument("--overhead", action="store_true", help="instead: the whole program beside a bare loop")
    parser.add_argument("--metrics", action="store_true", help="instead: metrics beside bare forward passes")
    parser.add_argument("--output", type=Path, default=Path("benchmark.json"), help="JSON file to write")
    chosen = parser.parse_args()
    chosen.models = chosen.models.split(",")
    chosen.batches = [int(b) for b in chosen.batches.split(",")]
    present = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    chosen.devices = chosen.devices.split(",") if chosen.devices else present
    for name in chosen.models:
        if name not in NAMES:
            parser.error(f"--models: {name!r} is not among {', '.join(NAMES)}")
    if min(chosen.batches) < 1 or (chosen.photos is not None and chosen.photos < 1):
        parser.error("--batches and --photos take positive numbers")
    if chosen.quick and chosen.photos is None:
        chosen.photos = 3
    return chosen


def environment(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    names = ("torch", "torchvision", "timm", "captum", "numpy", "scikit-image")
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = models[0] if models else processor
    return {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else processor,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "tf32": torch.backends.cudnn.allow_tf32,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Run the benchmark."""
    chosen = arguments()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    if chosen.overhead:
        records = overhead.measure(images=8 if chosen.quick else 24, batch=4)
        console.print(overhead.table(records))
        overhead.write(records, chosen.output)
        return
    if chosen.metrics:
        records = scores.measure(images=chosen.photos or 8, quick=chosen.quick)
        console.print(scores.table(records))
        scores.write(records, chosen.output)
        return
    records = []
    for name in chosen.models:
        weights = chosen.weights if name == "resnet50" else None
        network, images, ids, word = load(name, chosen.photos, weights)
        for device in chosen.devices:
            network, images = network.to(device), images.to(device)
            with torch.no_grad():
                confidence, classes = network(images).softmax(1).max(1)
            spread = dict(zip(ids, [round(c, 3) for c in confidence.tolist()], strict=True))
            set_up = set_up_seconds(network, images[:1], classes[:1])
            for batch in chosen.batches:
                with console.status(f"{name}, {device}, batch {batch}") as bar:
                    start = f"{name}, {device}, batch {batch}: "
                    record = measure(network, images, batch, chosen.quick, lambda m, b=bar, s=start: b.update(s + m))
                record |= {"model": name, "weights": word, "confidence": spread, "set_up_seconds": set_up}
                record["environment"] = environment(device)
                records.append(record)
                console.print(table(record))
                console.print(*(f"- {line}" for line in remarks(record)), sep="\n")
                console.print()
                chosen.output.write_text(json.dumps({"quick": chosen.quick, "records": records}, indent=1) + "\n")
    console.print(f"written: {chosen.output}")


if __name__ == "__main__":
    main()
