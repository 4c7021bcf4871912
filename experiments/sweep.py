"""A finished sweep, read back: its jobs, with their settings and their runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from caso.runner import load_run
from caso.runner.results.store import Run
from caso.runner.results.sweep import gather
from caso.runner.results.tables import FAILED
from caso.solvers.solution import NOT_FINITE


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        overrides: In which it differs from the others, as typed.
        run: Its table, maps, scores.
        config: Its settings.
    """

    overrides: str
    run: Run
    config: Any

    def __getitem__(self, key: str) -> Any:
        """A setting, by its dotted key."""
        return OmegaConf.select(self.config, key)

    def choice(self, group: str, default: str) -> str:
        """Which file of a group the job was asked for, where the sweep varies it."""
        asked = [word.partition("=")[2] for word in self.overrides.split() if word.startswith(f"{group}=")]
        return asked[-1] if asked else default

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows with a map."""
        return self.run.table[~self.run.table["status"].isin(FAILED)].reset_index(drop=True)


class Sweep:
    """All jobs of a sweep.

    Attributes:
        directory: Where it lies.
        jobs: Those that left results, in their order.
        failures: Of the others, and of images that could not be explained, a sentence each.
        seconds: That the jobs took, together.
    """

    def __init__(self, directory: Path) -> None:
        """Read what the jobs left.

        Raises:
            FileNotFoundError: If there are no results at all.
        """
        self.directory = directory
        self.jobs: list[Job] = []
        self.failures: list[str] = []
        self.seconds = 0.0
        for row in gather(directory).to_dict("records"):
            path, overrides = directory / str(row["directory"]), str(row["overrides"])
            if row["status"] == "finished":
                run = load_run(path)
                self.seconds += float(row["seconds"])
                self.jobs.append(Job(overrides, run, run.config))
                # A solver that diverges, or a network that is not finite, is a result.
                failed = run.table[run.table["status"].isin(FAILED) & (run.table["status"] != NOT_FINITE)]
                messages = {f"{one.image}: {one.message}" for one in failed.itertuples()}
                self.failures += [f"{overrides}: no map of {one}" for one in sorted(messages)]
            else:
                self.failures.append(f"{overrides}: {row['status']} {row['message']}".strip())
        if not self.jobs:
            raise FileNotFoundError(f"{directory} holds no finished runs")

    def where(self, **settings: Any) -> list[Job]:
        """The jobs with these settings; a key's dots are written as two underscores."""
        wanted = {key.replace("__", "."): value for key, value in settings.items()}
        return [job for job in self.jobs if all(job[key] == value for key, value in wanted.items())]

    def only(self, **settings: Any) -> Job:
        """The one job with these settings.

        Raises:
            LookupError: If there is none, or there are several.
        """
        found = self.where(**settings)
        if len(found) != 1:
            raise LookupError(f"{len(found)} finished jobs with {settings}, not one")
        return found[0]

    def collect(self, key: Callable[[Job], str]) -> dict[str, Job]:
        """The jobs by a name that each has."""
        return {key(job): job for job in self.jobs}

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device and seed, as the first job wrote them."""
        path = self.jobs[0].run.directory / "environment.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
