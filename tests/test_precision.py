"""TF32 is off while maps are made and scored."""

from collections.abc import Iterator

import pytest
import torch

from caso.precision import full_precision

SWITCHES = torch.backends.cudnn, torch.backends.cuda.matmul


def found() -> list[bool]:
    return [switch.allow_tf32 for switch in SWITCHES]


@pytest.fixture
def on() -> Iterator[None]:
    before = found()
    for switch in SWITCHES:
        switch.allow_tf32 = True
    yield
    for switch, value in zip(SWITCHES, before, strict=True):
        switch.allow_tf32 = value


@pytest.mark.usefixtures("on")
def test_tf32_is_off_within_and_comes_back() -> None:
    with full_precision(torch.device("cuda")):
        assert found() == [False, False]
        with full_precision(torch.device("cuda")):
            pass
        assert found() == [False, False]
    assert found() == [True, True]
    with pytest.raises(ValueError, match="within"), full_precision(torch.device("cuda")):
        raise ValueError("within")
    assert found() == [True, True]


@pytest.mark.usefixtures("on")
def test_the_processor_has_no_switch() -> None:
    with full_precision(torch.device("cpu")):
        assert found() == [True, True]
