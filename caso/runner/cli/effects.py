"""Which choices read which key: what is typed and would not be read is refused, for it would change nothing.

:data:`READ_WITH`, :data:`ALWAYS` and :data:`HARMLESS` are the one place that says so: the check, the page
``docs/options.md`` and the tests are made from them. Defaults that are left alone are never refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import OmegaConf

from caso.runner.cli.messages import ConfigError, choices, one_line
from caso.runner.cli.validation import default_solver
from caso.runner.explain.explainers import OWN
from caso.solvers import SOLVERS

MEANS: dict[str, dict[str, str]] = {
    "cafo": {"order": "first"},
    "caso": {"order": "second"},
    "smooth_caso": {"order": "second", "smooth": "true"},
}
"""What an explainer chooses by its name."""

Choice = Mapping[str, tuple[str, ...]]
"""Settings, and the values of each of which one must hold."""

_ROOT = ("the root key's",)
"""Of an option of a group: not given itself."""
_GROUPS_OWN = {
    "explainer": ("n_samples", "stddev"),
    "solver": ("n_iter", "lr", "init"),
    "regularization": ("sparsity",),
}
"""Options of groups that are, unless given, the root key's of the same name."""
_OWN: Choice = {"explainer": (*OWN, "smooth_caso")}
_ITERATIVE: Choice = {**_OWN, "solver": tuple(name for name, solver in SOLVERS.items() if solver.iterates)}
_PATH: Choice = {**_OWN, "regularization": ("path",)}

READ_WITH: dict[str, tuple[Choice, ...]] = {
    "order": (_OWN,),
    "regularization": (_OWN,),
    "solver": (_OWN,),
    "lambda1": ({**_OWN, "regularization": ("fixed",)},),
    "lambda2": (_OWN,),
    "sparsity": ({**_OWN, "regularization": ("auto",), "regularization.sparsity": _ROOT, "regions.keep": ("null",)},),
    "curvature": ({**_OWN, "order": ("second",)},),
    "smooth": (_OWN,),
    "n_samples": (
        {**_OWN, "smooth": ("true",)},
        {"explainer": ("smoothgrad",), "explainer.n_samples": _ROOT},
    ),
    "stddev": ({**_OWN, "smooth": ("true",)}, {"explainer": ("smoothgrad",), "explainer.stddev": _ROOT}),
    "tol": (_OWN,),
    "n_iter": ({**_ITERATIVE, "solver.n_iter": _ROOT},),
    "lr": ({**_ITERATIVE, "solver.lr": _ROOT},),
    "init": ({**_ITERATIVE, "solver.init": _ROOT},),
    "regularization.sparsity": ({**_OWN, "regions.keep": ("null",)},),
    "regions.keep": ({**_OWN, "regularization": ("auto",)},),
    "regularization.lambda1s": (_PATH,),
    "regularization.n": ({**_PATH, "regularization.lambda1s": ("null",)},),
    "dataset": ({"image": ("null",)}, {"dataset": ("crops", "images")}),
    "size": ({"experiment": ("NAME",)},),
    "experiment.smoke": ({"size": ("smoke",)},),
    "experiment.paper": ({"size": ("paper",)},),
}
"""Keys that are read with some choices only: one of these must hold. A key stands for those below it, too."""

NEUTRAL: dict[str, str] = {
    "regularization": "fixed",
    "solver": "auto",
    "curvature": "auto",
    "smooth": "false",
    "size": "default",
}
"""Values that ask for nothing, and so may be typed with any choice."""

ALWAYS = (
    "explainer", "model", "regions", "metrics", "trainer", "logger", "experiment", "image", "target", "times_input",
    "magnitude", "pictures", "resume",
)  # fmt: skip
"""Keys that are read with every choice."""

HARMLESS: dict[str, str] = {
    "seed": "what draws nothing does not need it; the column `seed` has it in any case",
    "batch_size": "how many images are explained together: time and memory, not maps",
    "num_workers": "how images are read: time, not maps",
}
"""Keys that may be typed with every choice, even where they change no map."""


def typed_keys(overrides: Iterable[str]) -> dict[str, str]:
    """The keys of a job that were typed, or that its sweep sets, with their values.

    Args:
        overrides: As on the command line. A group's choice may be written ``order=second`` or ``order.name=second``.
    """
    typed = {}
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        key = name.rpartition("@")[2].removesuffix(".name")
        if not key.startswith(("hydra.", "hydra/")):
            typed[key] = value
    return typed


def without_effect(cfg: Any, typed: Mapping[str, str]) -> dict[str, ConfigError]:
    """Find the keys that were typed and that nothing would read.

    Args:
        cfg: The configuration as Hydra composed it, without Hydra's own node.
        typed: Of :func:`typed_keys`.

    Returns:
        For each such key, the error that says what it would need.
    """
    settings = _settings(cfg)
    found = {}
    for key, value in typed.items():
        meant = MEANS.get(settings["explainer"], {}).get(key)
        given = settings.get(f"{key} typed", value)
        if meant and given != meant:
            why = f"contradicts explainer={settings['explainer']}, which means {key}={meant}; leave one of them out"
            found[key] = ConfigError(key, value, why)
        elif NEUTRAL.get(key) != given and (reason := _reason(key, cfg, settings)):
            found[key] = ConfigError(key, value, reason)
    return found


def needs(alternatives: Iterable[Choice]) -> str:
    """Say in words what one of several choices asks for: ``smooth=true, or explainer=smoothgrad``."""
    texts = [
        " and ".join(f"{name}={choices(values)}" for name, values in choice.items() if values != _ROOT)
        for choice in alternatives
    ]
    return ", or ".join(text for text in texts if text)


def _reason(key: str, cfg: Any, settings: Mapping[str, str]) -> str:
    """Why nothing reads a key; empty where it is read."""
    if key.startswith("metrics."):
        metric, names = key.split(".")[1], cfg.metrics.get("names") or ()
        unused = metric != "names" and metric not in names
        return f"has no effect: {metric} is not among metrics.names" if unused else ""
    if key.startswith("dataset.subset") or key in ("dataset.n", "dataset.min_area", "dataset.recursive"):
        return ""  # of every data set, of crops of any image, and of how folders are searched
    if key.startswith("dataset.") and settings["image"] != "null":
        return f"has no effect: image={settings['image']} takes the data set's place"
    known = next((name for name in _with_parents(key) if name in READ_WITH), None)
    if known is None:
        return ""
    failing = [
        {name: allowed for name, allowed in choice.items() if settings[name] not in allowed}
        for choice in READ_WITH[known]
    ]
    if not all(failing):
        return ""
    nearest = min(failing, key=len)
    now = " and ".join(f"{name}={settings[name]}" for name in nearest)
    return one_line(f"has no effect with {now}; it needs {needs(failing)}")


def _with_parents(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _settings(cfg: Any) -> dict[str, str]:
    """What the conditions speak of, as text."""
    explainer = str(cfg.explainer.name)
    typed = {"order": str(cfg.order.name), "smooth": str(cfg.smooth).lower()}
    meant = typed | MEANS.get(explainer, {})
    solver = str(cfg.solver.name)
    return {
        **{f"{key} typed": value for key, value in typed.items()},
        **meant,
        "explainer": explainer,
        "solver": default_solver(meant["order"]) if solver == "auto" else solver,
        "regularization": str(cfg.regularization.name),
        "regularization.lambda1s": "null" if cfg.regularization.get("lambda1s") is None else "[...]",
        "regions.keep": "null" if cfg.regions.get("keep") is None else "N",
        "dataset": str(cfg.dataset.name),
        "image": "null" if cfg.image is None else str(cfg.image),
        "experiment": "null" if cfg.experiment is None else "NAME",
        "size": str(cfg.size.name),
        **{f"{group}.{key}": _given(cfg[group], key) for group, keys in _GROUPS_OWN.items() for key in keys},
    }


def _given(group: Any, key: str) -> str:
    """An option of a group; where it is the root key's, or there is none, that it is not given."""
    options: Any = OmegaConf.to_container(group, resolve=False)
    value = options.get(key)
    return _ROOT[0] if value in (None, f"${{{key}}}") else str(value)
