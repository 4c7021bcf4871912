"""Functions of the user's own code that the configuration names: ``package.module:function``, with arguments.

The current directory is importable. These are the only strings of the configuration that name code that runs; the log
says which file was imported.
"""

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from caso.runner.cli.messages import ConfigError, choices, describe, nearest

log = logging.getLogger(__name__)

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def no_arguments() -> DictConfig:
    """Make a node that takes any keys, so that ``model.args.x=1`` needs no plus sign: the default of ``args``."""
    return OmegaConf.create({}, flags={"struct": False})


@dataclass(frozen=True)
class Entry:
    """A function of the user's, with the arguments of the configuration.

    Attributes:
        group: Of the configuration: ``model`` or ``dataset``.
        name: ``package.module:function``.
        function: The function.
        arguments: By their names.
    """

    group: str
    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    def call(self) -> Any:
        """Call the function.

        Raises:
            ConfigError: If it raises anything.
        """
        try:
            return self.function(**self.arguments)
        except Exception as error:  # the user's code may raise anything
            log.debug("%s.entry failed", self.group, exc_info=True)
            raise self.mistake(f"failed with {type(error).__name__}: {describe(error)}") from error

    def mistake(self, reason: str) -> ConfigError:
        """Make an error that names the function."""
        return ConfigError(f"{self.group}.entry", self.name, reason)


def find_entry(group: str, options: Any) -> Entry:
    """Import a function, and see that it takes the arguments; it is not called.

    Args:
        group: Of the configuration.
        options: The group's node: ``entry`` and, by their names, the arguments ``args``.

    Raises:
        ConfigError: If there is no such module or function, or an argument is missing or not taken.
    """
    arguments = options.get("args")
    if arguments is not None and not OmegaConf.is_dict(arguments):
        raise ConfigError(f"{group}.args", arguments, f"must be arguments by name, as {group}.args.checkpoint=a.pt")
    entry = Entry(group, str(options.entry), _find(group, str(options.entry)), _arguments(options))
    _check_arguments(entry)
    return entry


def described(options: Any) -> str:
    """Name a function and its arguments, as ``module:function(checkpoint=a.pt)``: what results are told apart by."""
    arguments = ", ".join(f"{name}={value}" for name, value in sorted(_arguments(options).items()))
    return f"{options.entry}({arguments})" if arguments else str(options.entry)


def _arguments(options: Any) -> dict[str, Any]:
    given: Any = OmegaConf.to_container(options.get("args") or OmegaConf.create(), resolve=True)
    return {str(name): value for name, value in given.items()}


def _find(group: str, entry: str) -> Callable[..., Any]:
    key = f"{group}.entry"
    module_name, _, name = entry.partition(":")
    if not module_name or not name:
        raise ConfigError(key, entry, "must be package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        log.debug("%s cannot be imported", key, exc_info=True)
        raise ConfigError(key, entry, f"cannot be imported ({describe(error)})") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(key, entry, f"{module_name} has no function {name}")
    log.info("%s: imported %s from %s", key, module_name, getattr(module, "__file__", "memory"))
    return function


def _check_arguments(entry: Entry) -> None:
    try:
        parameters = inspect.signature(entry.function).parameters.values()
    except (TypeError, ValueError):  # of some functions that are not written in Python: the call will tell
        return
    takes = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    for name, value in entry.arguments.items():
        if name not in takes and all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters):
            close = nearest(name, takes)
            hint = f"did you mean {choices(close)}?" if close else f"it takes {choices(takes or ['no arguments'])}"
            raise ConfigError(f"{entry.group}.args.{name}", value, f"{entry.name} takes no such argument; {hint}")
    for parameter in parameters:
        needed = parameter.kind in _NAMED and parameter.default is parameter.empty
        if needed and parameter.name not in entry.arguments:
            raise ConfigError(
                f"{entry.group}.args.{parameter.name}", "???", f"must be given, for {entry.name} needs it"
            )
