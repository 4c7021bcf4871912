"""Which keys and choices the configuration has: for messages about those that it has not."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf


def known_choices(config_dir: Path) -> dict[str, list[str]]:
    """List the choices of each group."""
    groups = [path for path in config_dir.iterdir() if path.is_dir()]
    return {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in groups}


def known_keys(config_dir: Path, overrides: Sequence[str]) -> list[str]:
    """List the keys and groups of the configuration, with the groups that the command line chooses where they exist."""
    groups = known_choices(config_dir)
    chosen = []
    for override in overrides:
        group, _, choice = override.partition("=")
        if choice in groups.get(group, ()):
            chosen.append(override)
    with initialize_config_dir(str(config_dir.resolve()), version_base=None):
        cfg = compose("config", overrides=chosen)
        keys = [*groups, *_hydra_keys(overrides)]
    for key, value in cfg.items_ex(resolve=False):
        keys.append(str(key))
        if isinstance(value, DictConfig):
            keys.extend(f"{key!s}.{name!s}" for name in value)
    return sorted(set(keys))


def _hydra_keys(overrides: Sequence[str]) -> list[str]:
    """List the keys beside those of Hydra's own that a command line has."""
    parents = {override.partition("=")[0].lstrip("+").rpartition(".")[0] for override in overrides}
    own = {parent for parent in parents if parent.split(".")[0] == "hydra"}
    cfg = compose("config", return_hydra_config=True) if own else None
    nodes = {parent: OmegaConf.select(cfg, parent) for parent in own} if cfg is not None else {}
    return [f"{parent}.{name!s}" for parent, node in nodes.items() if isinstance(node, DictConfig) for name in node]
