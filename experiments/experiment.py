"""What an experiment is: a question, an expectation, and a reading of finished runs."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.sweep import Sweep

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"


@dataclass(frozen=True)
class Table:
    """A table of a result.

    Attributes:
        name: Of its files.
        caption: What it holds, in a sentence.
        frame: Its numbers. Columns ``x``, ``x_low`` and ``x_high`` are shown as one, with an interval.
    """

    name: str
    caption: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Picture:
    """A figure of a result.

    Attributes:
        name: Of its files.
        caption: What it shows, in a sentence.
        figure: Drawn as :mod:`experiments.drawing` draws.
    """

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Verdict:
    """Whether the expectation was met.

    Attributes:
        holds: None where the runs cannot tell.
        sentence: With the numbers that decide.
    """

    holds: bool | None
    sentence: str


@dataclass(frozen=True)
class Result:
    """What an experiment's runs say.

    Attributes:
        tables: In the order of reading.
        pictures: Likewise.
        numbers: Of plain types; what pages quote.
        verdict: On the expectation.
    """

    tables: list[Table]
    pictures: list[Picture]
    numbers: dict[str, Any]
    verdict: Verdict


@dataclass(frozen=True)
class Experiment:
    """A claim that runs can test.

    Attributes:
        position: In the report; the smallest first.
        title: A few words.
        question: A sentence.
        expectation: What the paper, or the mathematics, leads one to expect.
        chosen: What was chosen where the paper's setting is not known, or is not at hand.
        read: Gives the result of a finished sweep.
        name: Of its configuration and its module.
    """

    position: int
    title: str
    question: str
    expectation: str
    chosen: str
    read: Callable[[Sweep], Result]
    name: str = field(default="", compare=False)


def find_experiments() -> list[Experiment]:
    """List the experiments, in the report's order: every file in ``conf/experiment`` has a module of its name here."""
    found = []
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        one: Experiment = importlib.import_module(f"experiments.{path.stem}").EXPERIMENT
        found.append(Experiment(**{**vars(one), "name": path.stem}))
    return sorted(found, key=lambda one: (one.position, one.name))


def judge(conditions: list[tuple[bool | None, str]]) -> Verdict:
    """Join conditions: the verdict holds if all do, and does not if one does not.

    Args:
        conditions: Whether each holds (None: not known), and the sentence that says so, with its numbers.
    """
    known = [holds for holds, _ in conditions]
    holds = None if not known or None in known else all(known)
    if False in known:
        holds = False
    return Verdict(holds, re.sub(r"\bnan\b", "unknown", " ".join(sentence for _, sentence in conditions)))
