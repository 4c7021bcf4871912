import numpy as np
import torch

from caso.runner.results.pictures import panel


def rows_and_maps(sparsities):
    rows = [
        {"image": "a", "predicted": 1, "predicted_name": "cat", "target": 1, "confidence": 0.5, "order": "second"}
        | {"lambda1": 10.0**-i, "sparsity": s, "kkt_residual": 1e-4 * i, "explainer": "caso", "status": "converged"}
        for i, s in enumerate(sparsities)
    ]
    return rows, [np.full((3, 4, 4), s) for s in sparsities]


def test_one_map_has_its_figures_in_the_caption() -> None:
    content = panel(*rows_and_maps([0.25]), torch.zeros(3, 4, 4))
    assert content.title == "a: cat 0.500"
    assert "lambda1 1" in content.details
    assert "sparsity 0.250" in content.details
    assert "residual 0.0e+00" in content.details


def test_a_method_without_a_solver_has_its_name_in_the_caption() -> None:
    rows, maps = rows_and_maps([0.25])
    rows[0] |= {"explainer": "integrated_gradients", "status": "computed"}
    assert panel(rows, maps, torch.zeros(3, 4, 4)).details == "integrated gradients  sparsity 0.250"


def test_a_class_that_was_asked_for_is_named() -> None:
    rows, maps = rows_and_maps([0.25])
    rows[0] |= {"target": 2, "target_name": "dog"}
    assert panel(rows, maps, torch.zeros(3, 4, 4)).title == "a: cat 0.500, explained: dog"


def test_a_long_path_is_spread_by_sparsity_without_the_empty_end() -> None:
    sparsities = [0.0, 0.01, 0.02, 0.03, 0.2, 0.4, 0.6, 0.8, 0.99, 1.0]
    content = panel(*rows_and_maps(sparsities), torch.zeros(3, 4, 4))
    assert [float(m[0, 0, 0]) for m in content.maps] == [0.0, 0.2, 0.4, 0.6, 0.8, 0.99]
    assert "10 values" in content.details
    assert "9.0e-04" in content.details


def test_images_without_a_map_have_no_picture() -> None:
    rows, _ = rows_and_maps([0.5])
    assert panel(rows, [None], torch.zeros(3, 4, 4)) is None
