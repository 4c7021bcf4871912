import torch

from caso.postprocess import magnitude, times_input


def test_times_input_is_the_product() -> None:
    maps, inputs = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(times_input(maps, inputs), maps * inputs)


def test_magnitude_is_the_normalised_square() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([m**2 / (m**2).sum() for m in maps])
    torch.testing.assert_close(magnitude(maps), expected)


def test_magnitude_of_a_zero_map_is_zero() -> None:
    assert torch.equal(magnitude(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))


def test_magnitude_of_a_tiny_map_does_not_underflow() -> None:
    maps = torch.full((1, 1, 2, 2), 1e-30)
    torch.testing.assert_close(magnitude(maps), torch.full((1, 1, 2, 2), 0.25))
