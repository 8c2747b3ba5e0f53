"""Fields, crops and batches of the finder's training, and that it learns."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.unit.train.plain_crops import PLAIN
from wsi_patches.annotations import AnnotationFile
from wsi_patches.datasets import SlideItem, find_slides
from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import GREY, RED_CELL_PX, CellFinderNet
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.finder import FinderTask
from wsi_patches.train.finder_crops import CropLook, cut_crop
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, FinderField, paint_field, read_field, red_cell_px
from wsi_patches.train.finder_targets import FieldCells


def dotted(width: int = 160, height: int = 120) -> FinderField:
    """A grey field with one black pixel block at the centre of its only white cell."""
    image = np.full((height, width, 3), 200, np.uint8)
    image[57:64, 37:44] = 20
    cells = FieldCells(np.array([40.0]), np.array([60.0]), np.array([20.0]), np.array([0]))
    return FinderField(image, cells, np.ones(3, np.float32))


def task(**changes) -> FinderTask:
    torch.manual_seed(0)
    fields = {"dots": [dotted()]}
    values = {
        "shares": {"dots": 1.0},
        "held_out": [dotted()],
        "side_px": 64,
        "batch_size": 4,
        "steps": 2,
        "look": PLAIN,
    }
    return FinderTask(CellFinderNet(width=8), fields, **{**values, **changes})


@pytest.mark.parametrize("seed", range(8))
def test_cells_go_with_the_pixels_of_a_crop(seed):
    crop = cut_crop(dotted(), 96, PLAIN, np.random.default_rng(seed))
    cells, dark = crop.cells, np.argwhere(crop.image.max(axis=2) < 90)
    assert len(dark) > 4
    assert np.abs(dark.mean(axis=0)[::-1] - (cells.x[0], cells.y[0])).max() < 1.0
    assert cells.radius_px[0] == pytest.approx(20 * RED_CELL_PX / HELD_RED_CELL_PX)


def test_scale_of_crops_varies_as_asked():
    rng = np.random.default_rng(0)
    look = replace(PLAIN, scale=1.5)
    radii = [cut_crop(dotted(), 96, look, rng).cells.radius_px[0] for _ in range(60)]
    usual = 20 * RED_CELL_PX / HELD_RED_CELL_PX
    assert usual / 1.5 <= min(radii) < 0.8 * usual
    assert 1.25 * usual < max(radii) <= usual * 1.5


@pytest.mark.parametrize("seed", range(6))
def test_at_a_wrong_scale_nothing_is_to_be_found_and_platelets_are_left_open(seed):
    crop = cut_crop(dotted(), 96, replace(PLAIN, out_of_scale=1.0), np.random.default_rng(seed))
    assert len(crop.cells.x) == 0
    assert crop.empty_weight.tolist() == [1, 1, 0]
    dark = (crop.image.max(axis=2) < 90).sum()
    usual = (cut_crop(dotted(), 96, PLAIN, np.random.default_rng(seed)).image.max(axis=2) < 90).sum()
    assert dark > 3 * usual or dark < usual / 3


def test_a_coarse_camera_loses_detail_and_keeps_places():
    fine, coarse = (
        cut_crop(dotted(), 96, replace(PLAIN, coarse=share), np.random.default_rng(3)) for share in (0.0, 1.0)
    )
    assert np.array_equal(fine.cells.x, coarse.cells.x)
    assert not np.array_equal(fine.image, coarse.image)
    places = [np.argwhere(crop.image.max(axis=2) < 110).mean(axis=0) for crop in (fine, coarse)]
    assert np.abs(places[0] - places[1]).max() < 1.0


def test_more_stain_makes_red_cells_darker_and_leaves_white_ones():
    image = np.full((160, 160, 3), 230, np.uint8)
    for x in (50, 110):
        cv2.circle(image, (x, 80), 20, (190, 150, 150), -1)
    cells = FieldCells(np.array([50.0, 110.0]), np.full(2, 80.0), np.full(2, 20.0), np.array([0, 1]))
    field = FinderField(image, cells, np.ones(3, np.float32))
    for seed in range(5):
        plain, stained = (
            cut_crop(field, 160, replace(PLAIN, bluish=share), np.random.default_rng(seed)) for share in (0.0, 1.0)
        )
        white, red = (
            [crop.image[round(crop.cells.y[row]), round(crop.cells.x[row])].astype(int) for crop in (plain, stained)]
            for row in (0, 1)
        )
        assert np.abs(white[1] - white[0]).max() <= 4
        change = red[1] - red[0]
        assert change.max() < 0
        assert change[1] < change[2]  # the greenish light goes first: what is left is bluer


def test_what_lies_outside_of_a_field_is_grey_whatever_the_look():
    image = cut_crop(dotted(30, 80), 96, CropLook(out_of_scale=0), np.random.default_rng(1)).image
    assert (image.reshape(-1, 3) == GREY).all(axis=1).mean() > 0.3


def test_a_large_field_fills_its_crops():
    cells = FieldCells(np.array([400.0]), np.array([400.0]), np.array([20.0]), np.array([0]))
    field = replace(dotted(800, 800), cells=cells)
    upright = [cut_crop(field, 64, PLAIN, np.random.default_rng(seed)).image for seed in range(10)]
    assert all((image == GREY).all(axis=2).mean() < 0.02 for image in upright)


def test_a_cell_that_the_border_cuts_is_as_large_as_its_longer_side_says(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "field.png"), np.full((200, 300, 3), 230, np.uint8))
    boxes = [(10, 100, 20, 60), (150, 190, 80, 20), (150, 80, 40, 40)]  # cut on the left, cut below, whole
    lines = [f"0 {x / 300} {y / 200} {width / 300} {height / 200}\n" for x, y, width, height in boxes]
    (tmp_path / "field.txt").write_text("".join(lines))
    marks = (AnnotationFile(str(tmp_path / "field.txt")),)
    field = read_field(SlideItem(str(tmp_path / "field.png"), annotations=marks), 39.0)
    found = np.stack([field.cells.x, field.cells.y, field.cells.radius_px], axis=1)
    assert found == pytest.approx(np.array([[-10, 100, 30], [150, 220, 40], [150, 80, 20]]), abs=1.1)


def test_a_painted_field_knows_all_its_cells():
    field = paint_field(3, 256)
    assert field.image.shape == (256, 256, 3)
    assert set(field.cells.class_index) >= {1}
    assert ((field.cells.x >= 0) & (field.cells.x < 256)).all()
    assert paint_field(3, 256, blasts=0, others=0).cells.class_index.min() >= 1


def test_real_fields_come_to_one_scale(shared_data: Path):
    for name, classes in (("bccd", 3), ("txl_pbc/pbc", 3), ("wbc_fov", 1)):
        items = find_slides([shared_data / name])[:6]
        usual = red_cell_px(items)
        fields = [read_field(item, usual) for item in items]
        assert all((field.empty_weight > 0).sum() == classes for field in fields)
        red = [field.cells.radius_px[field.cells.class_index == 1] for field in fields]
        typical = [2 * np.median(radii) for radii in red if len(radii)]
        assert all(0.8 * HELD_RED_CELL_PX < one < 1.25 * HELD_RED_CELL_PX for one in typical)
        assert all((field.cells.x - field.cells.radius_px < field.image.shape[1]).all() for field in fields)


def test_equal_seeds_give_equal_batches_and_epochs_differ():
    first, again, other = (list(one) for one in (task().batches(1), task().batches(1), task().batches(2)))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].images, other[0].images)
    assert first[0].images.shape == (4, 3, 64, 64)
    assert first[0].targets.heat.shape == (4, 3, 16, 16)


def test_a_task_without_fields_or_shares_is_refused():
    with pytest.raises(UsageError, match="share of every set"):
        task(shares={})
    with pytest.raises(UsageError, match="fields to judge by"):
        task(held_out=[])


def test_it_learns_on_the_engine(tmp_path: Path):
    settings = EngineSettings(epochs=2, learning_rate=3e-3, steps_per_epoch=3, clip_norm=5.0, device="cpu")
    fitted = fit(task(steps=3, batch_size=2), settings, tmp_path)
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss
