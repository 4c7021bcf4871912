"""Regions as colours and outlines."""

import numpy as np
import pytest
import torch

from caso.plot.regions import colour_regions, edges, middle, outline


def labels() -> np.ndarray:
    found = np.zeros((8, 8), np.int64)
    found[:4, 4:], found[4:, :4], found[4:, 4:] = 1, 2, -1
    return found


def test_regions_are_coloured_by_weight_and_the_rest_is_dimmed() -> None:
    image = torch.tensor([100, 150, 200]).view(3, 1, 1).expand(3, 8, 8) / 255
    drawn = colour_regions(image, labels(), {1: 2.0, 0: 0.5}).astype(int)
    zero, one, two, none = drawn[0, 0], drawn[0, 7], drawn[7, 0], drawn[7, 7]
    assert two.tolist() == none.tolist() == [45, 45, 45]  # grey, at three tenths of its brightness
    assert one.sum() > zero.sum() > two.sum()
    assert one[0] > one[2]  # the heaviest is yellow, a light one bluish
    assert zero[2] > zero[0]


def test_outlines_lie_within_chosen_regions_where_labels_differ() -> None:
    inside = outline(labels(), np.array([0]))
    expected = np.zeros((8, 8), bool)
    expected[3, :4] = expected[:4, 3] = True
    np.testing.assert_array_equal(inside, expected)
    assert not outline(labels(), np.array([])).any()


def test_edges_are_the_lines_between_pixels_of_different_labels() -> None:
    found = {tuple(map(tuple, segment)) for segment in edges(labels(), np.array([0])).tolist()}
    below = {((x - 0.5, 3.5), (x + 0.5, 3.5)) for x in range(4)}
    right = {((3.5, y - 0.5), (3.5, y + 0.5)) for y in range(4)}
    assert found == below | right


@pytest.mark.parametrize("shape", ["ring", "corner", "everything", "single"])
def test_the_middle_of_a_region_is_in_it_and_far_from_its_border(shape: str) -> None:
    inside = np.zeros((21, 31), bool)
    if shape == "ring":
        inside[3:18, 5:26], inside[6:15, 8:23] = True, False
    elif shape == "corner":
        inside[:9, :3] = inside[:3, :9] = True
    elif shape == "everything":
        inside[:] = True
    else:
        inside[20, 30] = True
    column, row = middle(inside)
    assert inside[row, column]
    if shape == "everything":
        assert (column, row) == (15, 10)


def test_regions_and_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels of \[8, 8\] pixels, image of \[8, 9\]"):
        colour_regions(torch.rand(3, 8, 9), labels(), {})
