"""What a run leaves once its images are explained: tables and pictures over all of them, and what is printed."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from caso.runner.cli.messages import describe
from caso.runner.results.comparison import SCORES, print_scores, scores, write_scores
from caso.runner.results.pictures import on_sheet, write_contact_sheet
from caso.runner.results.report import REPORT, write_report
from caso.runner.results.store import RESULTS, Run, load_run, write_table
from caso.runner.results.tables import make_console, print_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """The results of all processes of a run.

    Attributes:
        run: The run, read back.
        scores: The metrics' table.
        written: Whether the tables could be written; they can be read without.
        paged: Whether there is a page.
    """

    run: Run
    scores: pd.DataFrame
    written: bool
    paged: bool


def gather_results(directory: Path, seconds: float) -> Gathered:
    """Read what all processes of a run have left, and write tables, contact sheet and page.

    Args:
        directory: The run's.
        seconds: That it has taken so far.
    """
    run = load_run(directory)
    scored = scores(run)
    try:
        if len(run.table):
            write_table(run)
            write_scores(scored, directory, SCORES)
            pictures = [name for name in dict.fromkeys(run.table["picture"]) if name]
            write_contact_sheet(directory, [p for i, p in enumerate(pictures) if on_sheet(i)], len(pictures))
        written = True
    except OSError as error:
        log.error("%s cannot be written: %s; load_run reads the results", RESULTS, describe(error))
        written = False
    return Gathered(run, scored, written, write_report(run, scored, seconds))


def print_results(results: Gathered) -> bool:
    """Print a run's tables; tell whether that could be done."""
    try:
        console = make_console()
        print_scores(results.scores, console, f"{SCORES}.csv")
        print_run(results.run, console, REPORT if results.paged else None)
    except (OSError, SystemExit) as error:  # rich ends the program where nobody reads any more
        reason = describe(error) if isinstance(error, OSError) else "nobody reads it"
        log.error("the table cannot be printed: %s", reason)
        return False
    return True
