"""Where the configuration comes from, and which keys and choices it has: for messages about those that it has not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.messages import UsageError


@dataclass(frozen=True)
class Sources:
    """The directories in which the configuration's files lie.

    Attributes:
        main: caso's own, with ``config.yaml``.
        user: That of ``--config-dir``, whose files are further choices of the groups; or None.
    """

    main: Path
    user: Path | None = None

    def __post_init__(self) -> None:
        """Check the user's directory.

        Raises:
            UsageError: There is none, or a file there has the name of one of caso's, which Hydra would take instead.
        """
        if self.user is None:
            return
        if not self.user.is_dir():
            raise UsageError(f"--config-dir {self.user}: no such directory")
        for path in sorted(self.user.rglob("*.yaml")):
            name = path.relative_to(self.user)
            if (self.main / name).is_file():
                raise UsageError(f"--config-dir {self.user}: {name} is the name of a file of caso's; choose another")

    def choices(self) -> dict[str, list[str]]:
        """List the choices of each group."""
        found: dict[str, list[str]] = {}
        for root in filter(None, (self.main, self.user)):
            for group in (path for path in root.iterdir() if path.is_dir()):
                found[group.name] = sorted([*found.get(group.name, ()), *(path.stem for path in group.glob("*.yaml"))])
        return found

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within, :meth:`compose` can be called."""
        with initialize_config_dir(str(self.main.resolve()), version_base=None):
            yield

    def compose(self, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
        """Compose the configuration."""
        path = [] if self.user is None else [f"hydra.searchpath=[{_quoted(self.user)}]"]
        return compose("config", overrides=[*path, *overrides], return_hydra_config=with_hydra)

    def keys(self, overrides: Sequence[str]) -> list[str]:
        """List the keys and groups, with those of the choices that a command line makes where they exist."""
        groups = self.choices()
        chosen = []
        for override in overrides:
            group, _, choice = override.partition("=")
            if group in groups and set(entries(choice)) <= set(groups[group]):
                chosen.append(override)
        with self.opened():
            try:
                cfg = self.compose(chosen)
            except HydraException:  # a file of the user's has a mistake
                cfg = self.compose([])
            keys = [*groups, *_below(cfg), *self._hydra_keys(overrides)]
        return sorted(set(keys))

    def _hydra_keys(self, overrides: Sequence[str]) -> list[str]:
        """List the keys beside those of Hydra's own that a command line has."""
        parents = {override.partition("=")[0].lstrip("+").rpartition(".")[0] for override in overrides}
        own = {parent for parent in parents if parent.split(".")[0] == "hydra"}
        cfg = self.compose([], with_hydra=True) if own else None
        nodes = {parent: OmegaConf.select(cfg, parent) for parent in own} if cfg is not None else {}
        return [f"{parent}.{name!s}" for parent, node in nodes.items() if isinstance(node, DictConfig) for name in node]


def entries(choice: str) -> list[str]:
    """The choices in a group's value: one, or those of a list as Hydra writes it, ``[csv,wandb]``."""
    plain = choice.strip("'\"")
    return [entry.strip() for entry in plain[1:-1].split(",")] if plain.startswith("[") else [plain]


def _below(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        yield f"{prefix}{key!s}"
        if isinstance(value, DictConfig):
            yield from _below(value, f"{prefix}{key!s}.")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
