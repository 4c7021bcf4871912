import pytest

from caso.runner.cli.messages import ConfigError
from caso.runner.models.targets import resolve

NAMES = ["tabby", "Tiger Cat", "stop_sign", "maillot", "Maillot"]


@pytest.mark.parametrize(
    ("target", "index"),
    [("predicted", None), ("Predicted", None), (0, 0), (4, 4), ("2", 2), ("tabby", 0), ("stop sign", 2)],
)
def test_a_target_by_index_or_by_name(target: object, index: int | None) -> None:
    assert resolve(target, NAMES) == index


@pytest.mark.parametrize("target", ["tiger cat", "tiger_cat", "TIGER  CAT", " Tiger Cat "])
def test_underscores_spaces_and_case_are_forgiven(target: str) -> None:
    assert resolve(target, NAMES) == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (5, "0 to 4"),
        (-1, "0 to 4"),
        ("tabbi", "nearest are tabby"),
        ("cat", "nearest are tiger cat"),
        ("maillot", r"several classes.*3, 4"),
        ("", "no class"),
        (True, "class name"),
        (1.5, "class name"),
        ([1], "class name"),
    ],
)
def test_what_is_no_target(target: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(target, NAMES)


def test_without_class_names_only_indices() -> None:
    assert resolve(7, None) == 7
    with pytest.raises(ConfigError, match="no class names"):
        resolve("tabby", None)
