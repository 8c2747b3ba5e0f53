"""What a finder is taught to say of a crop."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.models.finder_network import RED_CELL_PX, STRIDE, FinderMaps
from wsi_patches.models.heat_map import decode
from wsi_patches.train.finder_targets import FieldCells, FinderTargets, finder_loss, paint_targets

SIDE = 96
SURE = np.ones(3, np.float32)


def cells(*rows: tuple[float, float, float, int]) -> FieldCells:
    x, y, radius, kind = np.array(rows, float).reshape(-1, 4).T
    return FieldCells(x, y, radius, kind.astype(np.int64))


def said(targets: FinderTargets) -> FinderMaps:
    """The maps of a network that says exactly what it should."""
    return FinderMaps(torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4)), targets.log_radius.nan_to_num())


@given(st.floats(20, 76), st.floats(20, 76), st.floats(5, 19), st.integers(0, 2))
def test_what_is_painted_is_what_is_read(x, y, radius, kind):
    found = decode(said(paint_targets(cells((x, y, radius, kind)), SIDE, SURE)), threshold=0.5, apart=0.8)
    assert found.class_index.tolist() == [kind]
    assert max(abs(found.x[0] - x), abs(found.y[0] - y)) <= STRIDE / 2 + 0.5
    assert found.radius_px[0] == pytest.approx(radius, rel=1e-4)


def test_a_cell_cut_by_the_border_is_marked_in_the_middle_of_what_is_seen():
    targets = paint_targets(cells((4, 48, 16, 0)), SIDE, SURE)
    row, column = np.argwhere(targets.heat[0, 0].numpy() == 1)[0]
    assert (row, column) == (12, 2)  # from 0 to 20 px
    assert targets.log_radius[0, row, column] == pytest.approx(np.log(16 / (RED_CELL_PX / 2)))


def test_a_cell_cut_where_the_field_ends_is_marked_in_the_middle_of_what_is_seen():
    there = np.zeros((SIDE, SIDE), bool)
    there[:, 40:] = True
    targets = paint_targets(cells((36, 48, 16, 0)), SIDE, SURE, there)
    row, column = np.argwhere(targets.heat[0, 0].numpy() == 1)[0]
    assert (row, column) == (12, 11)  # from 40 to 52 px


def test_a_sliver_is_neither_to_be_marked_nor_to_be_left_out():
    targets = paint_targets(cells((-12, 48, 16, 0)), SIDE, SURE)
    assert not (targets.heat == 1).any()
    assert (targets.weight[0, 0, 9:15, 0] == 0).all()
    assert (targets.weight[0, 0, :, 5:] == 1).all()
    assert (targets.weight[0, 1:] == 1).all()


def test_a_class_that_nobody_marked_costs_nothing_but_what_is_marked_counts():
    targets = paint_targets(cells((40, 40, 12, 0)), SIDE, np.array([1, 0, 0.3], np.float32))
    assert (targets.weight[0, 1] == 0).all()
    assert targets.weight[0, 2].max() == pytest.approx(0.3)
    loud = FinderMaps(torch.full((1, 3, 24, 24), -9.0), torch.zeros(1, 24, 24))
    quiet_loss = finder_loss(loud, targets)
    loud.heat[0, 1] = 9.0
    assert finder_loss(loud, targets) == pytest.approx(float(quiet_loss), abs=1e-6)


def test_loss_is_least_for_what_is_right_and_falls_towards_it():
    targets = paint_targets(cells((40, 40, 12, 0), (70, 60, 9, 1)), SIDE, SURE)
    right = said(targets)
    nothing = FinderMaps(torch.full_like(right.heat, -9.0), right.log_radius)
    wrong_size = FinderMaps(right.heat, right.log_radius + 0.5)
    elsewhere = FinderMaps(right.heat.roll(6, dims=2), right.log_radius)
    least = float(finder_loss(right, targets))
    assert least < 0.2
    assert all(float(finder_loss(one, targets)) > 2 * least for one in (nothing, wrong_size, elsewhere))


def test_an_empty_crop_has_a_finite_loss():
    targets = paint_targets(cells(), SIDE, SURE)
    maps = FinderMaps(torch.zeros(1, 3, 24, 24, requires_grad=True), torch.zeros(1, 24, 24))
    loss = finder_loss(maps, targets)
    loss.backward()
    assert torch.isfinite(loss)


def test_targets_of_several_crops_are_stacked():
    both = FinderTargets.stack([paint_targets(cells((40, 40, 12, 0)), SIDE, SURE), paint_targets(cells(), SIDE, SURE)])
    assert both.heat.shape == both.weight.shape == (2, 3, 24, 24)
    assert both.log_radius.shape == (2, 24, 24)
