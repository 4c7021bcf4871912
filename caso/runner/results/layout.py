"""Tables that fit the terminal: text is folded, numbers never are, and columns that do not fit are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_LEAST = 16  # characters to which a column of text may be narrowed before columns are left out


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table on the terminal.

    Attributes:
        heading: Its name; may be broken at spaces.
        cells: From top to bottom.
        rank: How much it matters: the column with the largest rank is left out first, one with rank 0 never.
        folds: Whether its cells may be folded, as text may and numbers may not.
    """

    heading: str
    cells: Sequence[Text]
    rank: int
    folds: bool = False

    @property
    def natural(self) -> int:
        """The width at which nothing is broken."""
        return max([cell_len(self.heading), *(cell.cell_len for cell in self.cells)])

    @property
    def least(self) -> int:
        """The width below which it is of no use."""
        if self.folds:
            return min(self.natural, _LEAST)
        return max([*map(cell_len, self.heading.split()), *(cell.cell_len for cell in self.cells)])

    @property
    def same(self) -> str | None:
        """What all its cells say; None where they differ."""
        said = {cell.plain for cell in self.cells}
        return said.pop() if len(said) == 1 else None


def choose(columns: Sequence[Column], width: int) -> list[Column]:
    """Choose the columns that fit.

    Columns whose cells are all the same go first, for a line can say what they say; then the others, the least
    important before the more important.

    Args:
        columns: In the order of the table.
        width: Of the terminal, in characters.
    """
    shown = list(columns)
    dispensable = [column for column in columns if column.rank > 0]
    for column in sorted(dispensable, key=lambda one: (one.same is None, -one.rank)):
        if _width(shown) <= width:
            break
        shown.remove(column)
    return shown


def print_table(columns: Sequence[Column], console: Console, file: str) -> None:
    """Print the columns that fit, and say what the others hold, or where it is.

    Args:
        columns: In the order of the table.
        console: Where to.
        file: That holds all columns.
    """
    shown = choose(columns, console.width)
    room = console.width - _width(shown)
    # Two spaces between columns, where no text is folded for them.
    spaces = len(shown) - 1
    gap = 2 if room >= spaces + sum(column.natural - column.least for column in shown if column.folds) else 1
    widths = _widths(shown, room - (gap - 1) * spaces)
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column, width in zip(shown, widths, strict=True):
        table.add_column(
            Text(column.heading),
            width=width,
            justify="left" if column.folds else "right",
            overflow="fold",
            vertical="top",
        )
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*cells)
    console.print(table)
    left_out = [column for column in columns if column not in shown]
    said = [f"{column.heading} {column.same}" for column in left_out if column.same]
    if said:
        console.print(Text(f"(in every row: {', '.join(said)})"))
    differ = [column.heading for column in left_out if column.same is None]
    if differ:
        console.print(Text(f"(not shown, but in {file}: {', '.join(differ)})"))


def _width(columns: Sequence[Column]) -> int:
    """The least width of a table."""
    return sum(column.least for column in columns) + len(columns) - 1


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Deal out what room there is beyond the least widths: to text first, then to headings that then need no break."""
    widths = {column: column.least for column in columns}
    for column in sorted(columns, key=lambda one: (not one.folds, one.rank)):
        missing = column.natural - column.least
        given = min(missing, room) if column.folds or missing <= room else 0
        widths[column] += given
        room -= given
    return [widths[column] for column in columns]
