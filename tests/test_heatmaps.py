"""Heat-maps: drawn where joints are, read where they were drawn."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sightline.nn.heatmaps import COARSER, gaussian_maps, label_widths, mean_place, softmax_place


def test_softmax_place_is_the_mean_place_of_cells() -> None:
    heat = torch.full((1, 2, 6, 8), -1e4, dtype=torch.float64)
    heat[0, 0, 2, 5] = 0.0
    heat[0, 1, 0, 0] = heat[0, 1, 5, 7] = 3.0
    assert_close(softmax_place(heat, 4.0), torch.tensor([[[22.0, 10.0], [16.0, 12.0]]]).double())
    assert_close(softmax_place(heat + 7.0, 4.0), softmax_place(heat, 4.0))
    y, x = torch.meshgrid(torch.arange(16.0) + 0.5, torch.arange(16.0) + 0.5, indexing="ij")
    bell = -((4 * x - 30.0) ** 2 + (4 * y - 27.0) ** 2) / (2 * 5.0**2)
    assert_close(softmax_place(bell[None, None], 4.0), torch.tensor([[[30.0, 27.0]]]), atol=1e-3, rtol=0)


def test_maps_are_gaussians_about_the_exact_place() -> None:
    place = torch.tensor([[[13.0, 22.5], [40.0, 3.0]]], dtype=torch.float64)
    maps = gaussian_maps(place / 4, (16, 12), 1.5)
    assert maps.shape == (1, 2, 12, 16)
    for joint, (x, y) in enumerate(place[0].tolist()):
        for row, column in ((5, 3), (0, 9), (11, 15)):
            apart = ((column + 0.5 - x / 4) ** 2 + (row + 0.5 - y / 4) ** 2) / 1.5**2
            assert_close(maps[0, joint, row, column], torch.tensor(-0.5 * apart).exp().double(), atol=1e-12, rtol=1e-6)
    inner = gaussian_maps(torch.tensor([[[30.3, 26.1]]], dtype=torch.float64) / 4, (16, 16), 1.5)
    assert_close(mean_place(inner / inner.sum(), 4.0)[0, 0], torch.tensor([30.3, 26.1]).double(), atol=0.02, rtol=0)


def test_unknown_joints_have_empty_maps() -> None:
    maps = gaussian_maps(torch.tensor([[[torch.nan, 0.8], [2.0, 2.0]]]), (8, 8), 2.0)
    assert maps.isfinite().all()
    assert maps[0, 0].abs().max() == 0
    assert maps[0, 1].max() > 0.9


def test_a_width_must_be_positive() -> None:
    with pytest.raises(ValueError, match="sigma: expected positive numbers, got 0"):
        gaussian_maps(torch.zeros(1, 1, 2), (8, 8), 0.0)
    with pytest.raises(ValueError, match="sigma: expected positive numbers, got -1"):
        gaussian_maps(torch.zeros(2, 3, 2), (8, 8), torch.tensor([[1.0], [-1.0]]))


def test_each_crop_may_have_a_width_of_its_own() -> None:
    place = 2 + 4 * torch.rand(2, 3, 2)
    widths = label_widths(1.5, torch.tensor([False, True]))
    maps = gaussian_maps(place, (8, 8), widths)
    assert_close(maps[:1], gaussian_maps(place[:1], (8, 8), 1.5))
    assert_close(maps[1:], gaussian_maps(place[1:], (8, 8), 1.5 * COARSER))
    assert label_widths(1.5, None) == 1.5
