"""A detector from marked fields: what is to be found in a crop, how large cells are, and that it learns."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.unit.train.plain_crops import PLAIN
from tests.unit.train.seen_cells import SeenCells
from tests.unit.train.small_detector import MPP, SMALL
from tests.unit.train.small_fields import SIZE, painted_fields, write_marks
from wsi_patches.annotations import AnnotationFile
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.datasets import SlideItem, find_inputs
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.models.cell_finder import FieldScale
from wsi_patches.models.finder_network import RED_CELL_PX
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.synthetic import paint_smear, write_all_idb1
from wsi_patches.train.counter_fields import CountedField, FieldReading, counted_fields
from wsi_patches.train.detector import train_detector
from wsi_patches.train.detector_calibrate import best_threshold
from wsi_patches.train.detector_fields import measured_fields
from wsi_patches.train.detector_settings import DetectorLook, DetectorSettings
from wsi_patches.train.detector_task import DetectorTask, box_targets
from wsi_patches.train.finder_crops import cut_crop
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, FinderField
from wsi_patches.train.finder_targets import FieldCells

HELD = RED_CELL_PX / HELD_RED_CELL_PX

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class ToldCells:
    """A finder that was told where cells are, in the field as it is held."""

    cells: tuple = ()
    working_mpp: float = 7.5 / HELD_RED_CELL_PX

    def calibrate(self, samples, mpp=None):
        return FieldScale(HELD_RED_CELL_PX)

    def find(self, image, calibration):
        x, y, radius = np.array(self.cells, np.float64).reshape(-1, 3).T
        return SeenCells(x, y, radius, np.ones(len(x), np.float32))


def marked_square(at=((40.0, 60.0),), kinds=(1,), radius=20.0, size=(160, 120)):
    """A grey field with a dark disc of every cell."""
    width, height = size
    image = np.full((height, width, 3), 200, np.uint8)
    y, x = np.mgrid[:height, :width]
    for column, row in at:
        image[np.hypot(x - column, y - row) <= radius] = 30
    xy = np.array(at, np.float64)
    cells = FieldCells(xy[:, 0], xy[:, 1], np.full(len(at), radius), np.zeros(len(at), np.int64))
    return CountedField(FinderField(image, cells, np.ones(3, np.float32)), np.array(kinds), 0, HELD_RED_CELL_PX)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_lie_around_the_pixels_of_a_crops_cells(seed):
    one = marked_square()
    crop = cut_crop(one.field, 128, PLAIN, np.random.default_rng(seed))
    target = box_targets(crop, one.class_index)
    rows, columns = np.nonzero(crop.image.max(axis=2) < 100)
    # Lines between pixels: what is dark begins at its first pixel's and ends at its last one's.
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert target.labels.tolist() == [1]
    assert np.abs(target.lines.numpy()[0] - seen).max() < 1.5


def test_a_cell_that_is_hardly_seen_is_not_to_be_found():
    one = marked_square(at=((40.0, 60.0), (158.0, 60.0)), kinds=(0, 1))
    far = replace(one, field=replace(one.field, cells=replace(one.field.cells, x=np.array([40.0, 176.0]))))
    for kept, field in (([0, 1], one), ([0], far)):
        there = np.zeros((160, 160), bool)
        there[:120] = True
        crop = replace(
            cut_crop(field.field, 160, PLAIN, np.random.default_rng(0)), there=there, cells=field.field.cells
        )
        assert box_targets(crop, field.class_index).labels.tolist() == kept


def test_batches_repeat_themselves_and_need_fields():
    field = marked_square()
    task = DetectorTask(torch.nn.Identity(), [field], [field], PLAIN, side_px=64, batch_size=3, steps=2)
    again, other = list(task.batches(1)), list(task.batches(2))
    assert all(torch.equal(one.images, two.images) for one, two in zip(task.batches(1), again, strict=True))
    assert not torch.equal(again[0].images, other[0].images)
    assert again[0].images.shape == (3, 3, 64, 64)
    with pytest.raises(UsageError, match="fields to learn from and to judge by"):
        DetectorTask(torch.nn.Identity(), [field], [])


@pytest.fixture(scope="module")
def painted():
    """Eight painted fields, half of them of patients, and the cells of each."""
    fields = painted_fields(8)
    return fields, {field.name: paint_smear(field.size, field.settings)[1] for field in fields}


@pytest.fixture(scope="module")
def items(tmp_path_factory, painted):
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    write_all_idb1(folder, painted[0])
    return find_inputs([folder]).items


def held(items, folder, finder, counts="blasts"):
    reading = FieldReading(counts, {}, finder, MPP)
    return measured_fields(counted_fields(items, reading, folder), finder)


@pytest.mark.parametrize("kind", ["voc", "geojson"])
def test_radii_are_those_of_boxes_and_outlines(tmp_path, items, painted, kind):
    write_marks(tmp_path / "marks", kind, painted[1])
    suffix = {"voc": "xml", "geojson": "geojson"}[kind]
    marked = []
    for item in items:
        name = item.path.rsplit("/", 1)[-1].removesuffix(".jpg")
        file = AnnotationFile(str(tmp_path / "marks" / f"{name}.{suffix}"), kind)
        marked.append(SlideItem(item.path, (file,)))
    read = held(marked, tmp_path / "pixels", ToldCells())
    for one in read.fields:
        name = read.slides[one.slide].path.rsplit("/", 1)[-1].removesuffix(".jpg")
        step = one.field.image.shape[1] / SIZE.width
        truth = painted[1][name]
        gaps = np.hypot(
            one.field.cells.x[:, None] - (truth.x + 0.5) * step, one.field.cells.y[:, None] - (truth.y + 0.5) * step
        )
        expected = truth.attributes["radius_px"][gaps.argmin(axis=1)] * step
        assert one.field.cells.radius_px == pytest.approx(expected, abs=1.0 * step)
        assert one.field.cells.radius_px.std() > 0


def test_points_are_as_large_as_the_found_cells_that_they_lie_in(tmp_path, items):
    read = counted_fields(items[:1], FieldReading("blasts", {}, ToldCells(), MPP), tmp_path)
    cells = read.fields[0].field.cells
    found = [(cells.x[0] + 3, cells.y[0], 17.0), (cells.x[1], cells.y[1] - 2, 21.0)]
    (one,) = measured_fields(read, ToldCells(tuple(found))).fields
    radius = one.field.cells.radius_px
    assert radius[:2] == pytest.approx([17, 21])
    away = [min(np.hypot(x - u, y - v) - r for u, v, r in found) for x, y in zip(cells.x[2:], cells.y[2:], strict=True)]
    assert radius[2:][np.array(away) > 0] == pytest.approx(19.0)
    (unseen,) = measured_fields(read, ToldCells()).fields
    assert unseen.field.cells.radius_px == pytest.approx(1.6 * HELD_RED_CELL_PX / 2)


@pytest.mark.parametrize(
    ("score", "right", "marked", "expected"),
    [
        ([0.9, 0.8, 0.4], [True, True, False], 2, 0.6),
        ([0.9, 0.8, 0.4], [True, False, True], 2, 0.2),
        ([0.5, 0.5, 0.2], [False, True, False], 1, 0.35),
        ([0.99], [True], 1, 0.495),
        ([0.4, 0.3], [False, False], 3, 0.3),
    ],
)
def test_the_threshold_is_that_of_best_f1(score, right, marked, expected):
    assert best_threshold(np.array(score), np.array(right), marked) == pytest.approx(expected)


@pytest.fixture(scope="module")
def trained(items, tmp_path_factory):
    told = []
    folder = tmp_path_factory.mktemp("trained") / "out"
    result = train_detector(SMALL, items, folder, lambda *progress: told.append(progress), finder=ToldCells())
    return result, told, folder


def test_the_loss_falls_and_the_card_is_calibrated(trained):
    result, told, folder = trained
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert result.history[1].train_loss < result.history[0].train_loss
    assert told[-1] == ("epochs", 2, 2)
    assert {file.name for file in folder.iterdir()} >= {"split.csv", "split.json", "history.csv", "checkpoint.pt"}
    card = result.card
    assert card.classes == ALL_IDB_CLASSES
    assert 0.05 <= card.threshold <= 0.95
    assert "4 slides or fields (all-idb1)" in card.trained_on
    assert "measured before it is believed" in card.limits
    assert not result.network.training
    assert "WARNING: 8 of 8 rows have no patient" in result.warnings[0]
    json.dumps(card.to_dict())


def test_no_slide_is_on_two_sides_and_each_side_has_blasts(trained):
    result = trained[0]
    sides = [{one.item.path for one in result.of(name)} for name in ("train", "validation", "test")]
    assert [len(side) for side in sides] == [4, 2, 2]
    assert len(set().union(*sides)) == 8
    for name in ("train", "validation", "test"):
        assert any((one.marked.class_index == 0).any() for one in result.of(name))


def test_a_killed_training_goes_on_to_the_same_weights(trained, items, tmp_path):
    first = replace(SMALL, training=replace(SMALL.training, epochs=2))

    class KilledError(Exception):
        pass

    def killed(what, done, total):
        if (what, done) == ("epochs", 1):
            raise KilledError

    with pytest.raises(KilledError):
        train_detector(first, items, tmp_path / "out", killed, finder=ToldCells())
    with pytest.raises(OutputExists):
        train_detector(first, items, tmp_path / "out", finder=ToldCells())
    resumed = train_detector(first, items, tmp_path / "out", resume=True, finder=ToldCells())
    state = trained[0].network.state_dict()
    assert all(torch.equal(one, state[name]) for name, one in resumed.network.state_dict().items())
    assert resumed.card == trained[0].card
    with pytest.raises(UsageError, match="detector"):
        train_detector(replace(first, nms=0.4), items, tmp_path / "out", resume=True, finder=ToldCells())


def test_white_cells_alone_can_be_detected(items, tmp_path):
    settings = replace(SMALL, counts="white_cells", training=replace(SMALL.training, epochs=1, steps_per_epoch=2))
    result = train_detector(settings, items, tmp_path, finder=ToldCells())
    assert result.card.classes == (WHITE_CELL,)
    assert result.card.temperature == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"crop_px": 100}, "multiple of 16"),
        ({"width": 40}, "multiple of 32"),
        ({"nms": 1.0}, "nms of a detector"),
        ({"by": "none"}, "must not be learnt and measured"),
        ({"shares": {"train": 1.0}}, "shares of a training name"),
        ({"batch_size": 1}, "batch_size"),
        ({"classes": {"kind_1": "blasts"}}, "blast, other or null"),
        ({"split_seed": 0, "counts": "blasts", "classes": {"blast": "other"}}, "holds no blast"),
    ],
)
def test_settings_that_cannot_be_are_refused(items, tmp_path, changes, told):
    with pytest.raises(UsageError, match=told):
        train_detector(replace(SMALL, **changes), items, tmp_path, finder=ToldCells())


def test_the_recipe_says_what_the_settings_default_to():
    values = read_recipe(find_recipe("all_idb1_detector"))
    assert (values.pop("command"), values["task"]) == ("train", "detector")
    settings = settings_from(DetectorSettings, {}, values)
    assert settings == DetectorSettings()


def test_a_recipe_may_change_one_thing_of_the_look_and_no_unknown_one():
    settings = settings_from(DetectorSettings, {}, {"look": {"hue": 3.0}})
    assert settings.look == DetectorLook(hue=3.0)
    assert settings.look.out_of_scale == 0
    with pytest.raises(UsageError, match="look"):
        settings_from(DetectorSettings, {}, {"look": {"hues": 3.0}})
