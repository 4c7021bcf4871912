"""Errors of the configuration, each as one clear line: the key, the value, and what is allowed."""

import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from caso.extras import MissingPackageError

# What OmegaConf calls a type, in the user's words.
_TYPES = {
    "Float": "a number",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "bool": "true or false",
    "String": "text",
    "list": "a list, as [a,b]",
    "ListConfig": "a list, as [a,b]",
}


class ConfigError(Exception):
    """A key of the configuration has a value that is not allowed.

    Args:
        key: The key as it is written on the command line.
        value: Its value.
        allowed: What is allowed, as the end of a sentence.
    """

    def __init__(self, key: str, value: object, allowed: str) -> None:
        """Compose the line."""
        super().__init__(one_line(f"{key}={_as_typed(value)}: {allowed}"))
        self.key = key


class UsageError(ConfigError):
    """A command line that cannot be read.

    Args:
        line: What is wrong, and what to type.
    """

    def __init__(self, line: str) -> None:
        """Keep the line."""
        Exception.__init__(self, one_line(line))


MISTAKES = (ConfigError, MissingPackageError)
"""What the user can mend; the text says how."""


def program() -> str:
    """How this program was started: the beginning of commands that messages tell the user to type."""
    return {"run.py": "python run.py", "__main__.py": "python -m caso"}.get(Path(sys.argv[0]).name, "caso")


def _as_typed(value: object) -> str:
    """Write a value as one would on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def printable(text: str) -> str:
    """Make text safe for terminals and logs: control characters and broken code points become escapes."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return safe.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """Join the lines of a text into one that is safe to print."""
    return printable(" ".join(text.split()))


def describe(error: BaseException) -> str:
    """Give any exception as one line: its text, or its type when it has none."""
    text = one_line(str(error))
    return text if text else type(error).__name__


def choices(names: Iterable[str]) -> str:
    """Join names: ``a, b or c``."""
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} or {listed[-1]}"


def choose(group: str, allowed: Iterable[str], given: str = "") -> str:
    """Say which choices a group has, and the nearest to what was given."""
    listed = list(allowed)
    close = nearest(given.lower(), listed, n=2, cutoff=0.7)
    several = "; single ones by metrics=all 'metrics.names=[gini,insertion]'" if group == "metrics" else ""
    return f"choose {choices(listed)}{several}" + (f"; did you mean {choices(close)}?" if close else "")


def nearest(name: str, names: Sequence[str], n: int = 3, cutoff: float = 0.55) -> list[str]:
    """Find the names that look most like a misspelt one, best first."""
    return difflib.get_close_matches(name, names, n=n, cutoff=cutoff)


def hydra_line(
    error: BaseException, keys: Sequence[str], groups: Mapping[str, Sequence[str]], overrides: Sequence[str]
) -> str:
    """Rewrite an error of Hydra or OmegaConf as one line.

    Args:
        error: The exception.
        keys: All keys and groups of the configuration, to suggest the nearest.
        groups: The choices of each group.
        overrides: The command line's overrides, to show what was typed.

    Returns:
        The line, without a traceback's help.
    """
    text = _chain(error)
    if wrong := _wrong_choice(groups, overrides):
        return wrong
    if found := re.search(r"An item is already at '([^']+)'|Multiple values for (\w+)\.", text):
        return f"+{found[1] or found[2]}: the configuration has this key; write it without +"
    if found := re.search(r"Could not (?:override|append to config)[^']*'([^']+)'", text):
        return _unknown_key(found[1], keys)
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = found[1].rpartition("/")
        return one_line(f"{group}={choice}: choose {choices(groups.get(group, ['another']))}")
    if found := re.search(r"full_key: (\S+)", text):
        return _wrong_value(text, found[1], keys, overrides)
    if "OverrideParse" in type(error).__name__ or "mismatched input" in text or "token recognition" in text:
        return one_line(
            f"{_bad_override(text, overrides)}: cannot be read; quote a value that has special characters, "
            "as in 'image=\"a,b (1).jpg\"'"
        )
    if found := re.search(r"You must specify '([^']+)'", text):
        return f"{found[1]}: must be given"
    if text.startswith("Only one of --run"):
        return "-m and --cfg: one at a time; --cfg job prints what a single job would run"
    if "Sweep parameters" in text or "--multirun" in text or "sweep overrides" in text.lower():
        return one_line(f"{text.splitlines()[0].rstrip('.')}; several values need the flag -m (--multirun)")
    return one_line(text.splitlines()[0] if text else type(error).__name__)


def _wrong_value(text: str, key: str, keys: Sequence[str], overrides: Sequence[str]) -> str:
    """Say of OmegaConf's error `text` about a key that there is none, or what its value must be."""
    if "is not in struct" in text or re.search(r"Key '[^']*' not in", text):
        return _unknown_key(key, keys)
    kind = re.search(
        r"could not be converted to (\w+)|not a valid (\w+)|is not a (ListConfig)|Cannot assign \w+ to (\w+)", text
    )
    wanted = next((group for group in kind.groups() if group), "") if kind else ""
    typed = _typed(key, overrides) or re.search(r"Value '([^']*)'", text)
    value = typed if isinstance(typed, str) else (typed[1] if typed else "null")
    reason = f"must be {_TYPES[wanted]}" if wanted in _TYPES else text.splitlines()[0]
    return one_line(f"{key}={value}: {reason}")


def _chain(error: BaseException) -> str:
    """Join the texts of an exception and its causes."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def _unknown_key(key: str, keys: Sequence[str]) -> str:
    parent = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == parent]
    close = nearest(key, siblings)
    if close:
        return one_line(f"{key}: no such key; did you mean {choices(close)}?")
    if parent.startswith("logger."):
        return f"{key}: no such key without its logger; add {parent.replace('.', '=')}"
    if parent == "experiment":
        return f"{key}: no such key without its experiment; add experiment=NAME"
    if parent and siblings:
        return one_line(f"{key}: no such key with this choice of {parent}; there are {', '.join(siblings)}")
    return one_line(f"{key}: no such key; the keys are {', '.join(k for k in keys if '.' not in k)}")


def _wrong_choice(groups: Mapping[str, Sequence[str]], overrides: Sequence[str]) -> str | None:
    """Find the first group that was given a choice which it does not have."""
    for override in overrides:
        group, equals, value = override.lstrip("+").partition("=")
        if not equals or group not in groups or group.startswith("hydra") or "(" in value:
            continue
        for choice in value.strip("'\"").replace("[", "").replace("]", "").split(","):
            if choice not in groups[group] and (group, choice) != ("experiment", "null"):
                return one_line(f"{group}={choice}: {choose(group, groups[group], choice)}")
    return None


def _typed(key: str, overrides: Sequence[str]) -> str | None:
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        if name == key:
            return value
    return None


def _bad_override(text: str, overrides: Sequence[str]) -> str:
    """Find which override an error of Hydra's parser speaks of."""
    for override in overrides:
        if override and override in text:
            return override
    return " ".join(overrides)
