"""Fields, targets and batches of a counter's training, and that it learns, stops and goes on."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.unit.train.small_fields import SIZE, painted_fields, write_marks
from wsi_patches.annotations import AnnotationFile, read_annotations
from wsi_patches.datasets import SlideItem, find_inputs
from wsi_patches.datasets.split_file import read_split
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.models import LearnedCellFinder
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.recipe import read_recipe, settings_from
from wsi_patches.synthetic import write_all_idb1
from wsi_patches.synthetic.red_cells import RED_DIAMETER
from wsi_patches.train.counter import train_counter
from wsi_patches.train.counter_fields import FieldReading, counted_fields
from wsi_patches.train.counter_settings import CounterLook, CounterSettings
from wsi_patches.train.counter_task import CounterTask, count_loss, density_target
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.finder_crops import CropLook
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, red_cell_px

MPP = RED_CELL_UM / (36 * RED_DIAMETER)
SMALL = CounterSettings(
    slide_mpp=MPP,
    shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    crop_px=128,
    batch_size=2,
    training=EngineSettings(epochs=2, steps_per_epoch=2, learning_rate=3e-3, ema_decay=0.5, device="cpu"),
)
READING = FieldReading("blasts", {}, WhiteCellFinder(), MPP)
"""Slides state their resolution, so that nothing has to be measured."""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Eight painted fields, half of them of patients, and the truth."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    return folder, write_all_idb1(folder, painted_fields(8))


@pytest.fixture(scope="module")
def items(painted):
    return find_inputs([painted[0]]).items


@pytest.fixture(scope="module")
def read(items, tmp_path_factory):
    return counted_fields(items, READING, tmp_path_factory.mktemp("read"))


def test_fields_are_held_at_one_scale_with_all_their_cells(painted, read):
    assert len(read.fields) == 8
    for one in read.fields:
        name = read.slides[one.slide].path.rsplit("/", 1)[1].removesuffix(".jpg")
        truth, step = painted[1][name], HELD_RED_CELL_PX / (36 * RED_DIAMETER)
        assert one.field.image.shape[:2] == pytest.approx((SIZE.height * step, SIZE.width * step), abs=1)
        assert np.bincount(one.class_index, minlength=2).tolist() == [truth.count("blast"), truth.count("other")]
        held = np.stack([one.field.cells.x, one.field.cells.y], axis=1)
        for xy in (truth.xy + 0.5) * step - 0.5:
            assert np.hypot(*(held - xy).T).min() < 1
        assert one.red_cell_px == pytest.approx(36 * RED_DIAMETER)


@pytest.mark.parametrize("kind", ["geojson", "voc", "coco"])
def test_marks_of_any_format_are_read(painted, read, tmp_path, kind):
    write_marks(tmp_path / "marks", kind, painted[1])
    found = counted_fields(find_inputs([painted[0] / "im"], tmp_path / "marks").items, READING, tmp_path)
    counts = [sorted(one.class_index.tolist()) for one in found.fields]
    assert counts == [sorted(one.class_index.tolist()) for one in read.fields]


def test_white_cells_alone_need_no_classes_and_blasts_do(painted, tmp_path):
    item = find_inputs([painted[0]]).items[0]
    rows = "\n".join(f"{x},{y},{name}" for x, y, name in ((50, 60, "WBC"), (90, 99, "RBC"), (200, 150, "neutrophil")))
    (tmp_path / "a.csv").write_text(f"x,y,class\n{rows}\n")
    marked = replace(item, annotations=(AnnotationFile(str(tmp_path / "a.csv")),))

    both = counted_fields([marked], replace(READING, counts="white_cells"), tmp_path)
    assert both.fields[0].class_index.tolist() == [0, 0]
    mixed = counted_fields([marked, item], READING, tmp_path)
    assert len(mixed.fields) == 1
    assert "1 of its cells are marked as white cells alone" in mixed.left_out[0]
    (tmp_path / "a.csv").write_text("x,y,class\n5,5,mystery\n")
    with pytest.raises(UsageError, match="class 'mystery'"):
        counted_fields([marked], READING, tmp_path)
    as_told = counted_fields([marked], replace(READING, classes={"mystery": "blast"}), tmp_path)
    assert as_told.fields[0].class_index.tolist() == [0]


def test_real_fields_are_measured_and_read(shared_data, tmp_path):
    items = find_inputs([shared_data / "bccd"]).items[:3]
    reading = FieldReading("white_cells", {}, LearnedCellFinder.load(device="cpu", precision="fp32"))
    found, usual = counted_fields(items, reading, tmp_path), red_cell_px(items)
    for one, item in zip(found.fields, items, strict=True):
        marked = read_annotations(item.annotations, None, Size(640, 480))
        assert len(one.class_index) == marked.count("white_cell") > 0
        assert one.red_cell_px == pytest.approx(usual, rel=0.2)  # as the boxes of red cells have it
        assert one.field.image.shape[1] == pytest.approx(640 * HELD_RED_CELL_PX / one.red_cell_px, abs=1)


def test_what_cannot_be_learnt_from_is_named(painted, items, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.full((60, 9000, 3), 200, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    odd = [replace(items[0], path=str(tmp_path / name)) for name in ("large.png", "broken.png")]
    found = counted_fields([*odd, items[1], SlideItem(items[2].path)], READING, tmp_path)
    assert len(found.fields) == 1
    assert "a whole slide: give fields of it" in found.left_out[0]
    assert "broken.png was left out" in found.left_out[1]
    assert "1 of 4 slides have no annotations" in found.left_out[2]
    with pytest.raises(UsageError, match="none of 1 slides is annotated"):
        counted_fields([SlideItem(items[0].path)], READING, tmp_path)
    with pytest.raises(UsageError, match="every white cell is marked, found none"):
        counted_fields(odd, READING, tmp_path)


def test_a_target_counts_the_centres_in_the_image_wherever_they_lie():
    xy = np.array([(0.0, 0.0), (60, 20), (127.4, 127.4), (-0.6, 50), (50, 127.6), (64, 64)])
    kinds, radius = np.array([0, 1, 1, 0, 0, 0]), np.full(6, 20.0)
    density = density_target(xy, kinds, radius, 2, 128)
    assert density.sum(axis=(1, 2)) == pytest.approx([2, 2], abs=1e-4)
    assert (density >= 0).all()
    row, column = np.unravel_index(density[1, :16].argmax(), (16, 32))
    assert ((column + 0.5) * 4 - 0.5, (row + 0.5) * 4 - 0.5) == pytest.approx((60, 20), abs=2)


def test_the_loss_is_nothing_where_all_is_right_and_grows_with_what_is_missed():
    true = torch.from_numpy(density_target(np.array([(60.0, 60.0)]), np.zeros(1, int), np.full(1, 20.0), 1, 128))[None]
    assert float(count_loss(true, true)) == pytest.approx(0, abs=1e-3)
    half, twice, elsewhere = true / 2, true * 2, true.roll(12, dims=3)
    nearby = true.roll(1, dims=3)
    losses = [float(count_loss(said, true)) for said in (nearby, half, twice, elsewhere)]
    assert 0 < losses[0] < min(losses[1:3]) < max(losses[1:3]) < losses[3]
    assert np.isfinite(float(count_loss(torch.zeros_like(true), true)))


def task(read, **changes):
    values = {"classes": 2, "fields": read.fields[:2], "held_out": read.fields[2:3], "side_px": 64, "batch_size": 3}
    return CounterTask(torch.nn.Identity(), **{**values, "steps": 2, **changes})


def test_equal_seeds_give_equal_batches_and_epochs_differ(read):
    first, again, other = (list(task(read).batches(epoch)) for epoch in (1, 1, 2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.density, b.density) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].images, other[0].images)
    assert first[0].images.shape == (3, 3, 64, 64)
    assert first[0].density.shape == (3, 2, 16, 16)
    counts = torch.cat([batch.density.sum(dim=(1, 2, 3)) for batch in task(read, steps=8).batches(1)])
    assert counts.round().tolist() == pytest.approx(counts.tolist(), abs=1e-4)
    assert counts.max() >= 1
    with pytest.raises(UsageError, match="found 2 and 0"):
        task(read, held_out=())


def test_at_a_wrong_scale_there_is_nothing_to_count(read):
    batch = next(iter(task(read, look=CropLook(out_of_scale=1.0)).batches(1)))
    assert batch.density.sum() == 0


@pytest.fixture(scope="module")
def trained(items, tmp_path_factory):
    told, folder = [], tmp_path_factory.mktemp("trained") / "out"
    return train_counter(SMALL, items, folder, lambda *progress: told.append(progress)), folder, told


def test_split_history_and_card_are_left_behind(trained):
    result, folder, told = trained
    assert read_split(folder / "split.csv").counts() == result.split.counts()
    assert {len(result.of(name)) for name in ("train", "validation", "test")} == {4, 2}
    for name in ("validation", "test"):
        assert sorted(result.true(result.of(name)).tolist()) == [[0, 10], [5, 5]]
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert told[-1] == ("epochs", 2, 2)
    assert ("slides", 8, 8) in told
    card = result.card
    assert (card.classes, card.calibration, card.scores) == (("blast", "other"), {}, {})
    assert "10 blast, 30 other on 4 slides or fields (all-idb1)" in card.trained_on
    assert "from the weights of the finder white-cells" in card.changes
    assert "on 2 patients or slides, the scores are of 2 others" in card.split
    assert "WARNING: 8 of 8 rows have no patient" in result.warnings[0]


def test_a_killed_training_goes_on_to_the_same_weights(trained, items, tmp_path):
    class Killed(Exception):
        pass

    def killed(what, done, _total):
        if (what, done) == ("epochs", 1):
            raise Killed

    with pytest.raises(Killed):
        train_counter(SMALL, items, tmp_path / "out", killed)
    resumed = train_counter(SMALL, items, tmp_path / "out", resume=True)
    states = [one.network.state_dict() for one in (trained[0], resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with pytest.raises(UsageError, match="other settings"):
        train_counter(replace(SMALL, crop_px=64), items, tmp_path / "out", resume=True)


def test_it_can_begin_from_the_backbone_alone(items, tmp_path):
    once = replace(SMALL, start="imagenet", training=replace(SMALL.training, epochs=1, steps_per_epoch=1))
    assert "from ImageNet weights" in train_counter(once, items, tmp_path / "out").card.changes


def test_an_epoch_shows_as_much_as_the_fields_hold(items, tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr("wsi_patches.train.counter.fit", lambda task, settings, *_, **__: steps.append(
        (task.steps, settings.steps_per_epoch)) or pytest.skip.Exception)  # fmt: skip
    with pytest.raises(AttributeError):
        train_counter(replace(SMALL, training=replace(SMALL.training, steps_per_epoch=None)), items, tmp_path)
    area = SIZE.width * SIZE.height * (26 / (36 * RED_DIAMETER)) ** 2
    assert steps == [(pytest.approx(4 * area / 128**2 / 2, abs=0.6),) * 2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"crop_px": 100}, "multiple of 64"),
        ({"batch_size": 1}, "batch_size of a training must lie in"),
        ({"shares": {"train": 1.0}}, "shares of a training name"),
        ({"by": "none"}, "must not be learnt and measured"),
        ({"classes": {"a": "cat"}}, "blast, other or null"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, told):
    with pytest.raises(UsageError, match=told):
        replace(SMALL, **changes)


def test_the_recipe_reads_and_a_look_that_changes_one_thing_keeps_the_rest():
    values = read_recipe(ROOT / "configs" / "all_idb1_counts.yaml")
    settings = settings_from(CounterSettings, {}, values)
    assert (values["command"], settings.task, settings.look) == ("train", "counts", CounterLook())
    other = settings_from(CounterSettings, {}, {**values, "look": {"hue": 0.0}})
    assert other.look == replace(CounterLook(), hue=0.0)
    with pytest.raises(UsageError, match=r"look\.colour"):
        settings_from(CounterSettings, {}, {**values, "look": {"colour": 1}})
