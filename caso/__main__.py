"""The console command ``caso``, which is also ``python -m caso``."""

import sys
from pathlib import Path

from caso.extras import CHECKOUT, MissingPackageError, needs
from caso.lean import uncollected

CONF = (CHECKOUT or Path(__file__).resolve().parent) / "conf"
"""The configuration: at the top of a checkout, inside the package where that was installed."""


def main() -> int:
    """Run the command line in ``sys.argv``.

    Returns:
        The exit status, as of :func:`caso.runner.cli.app.main`; 2 where the packages for it are missing.
    """
    try:
        with needs("run", "caso"), uncollected():
            from caso.runner.cli import app
    except MissingPackageError as error:
        print(error, file=sys.stderr)
        return 2
    return app.main(CONF)


if __name__ == "__main__":
    sys.exit(main())
