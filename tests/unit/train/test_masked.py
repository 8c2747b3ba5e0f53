"""Classifiers that are shown the cell or its nucleus alone: in training, and wherever they are asked."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.painted_discs import write_discs
from tests.painted_sets import CELL_DIAMETERS, painted_cells, write_class_folders
from wsi_patches.cells import Cells
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.infer.classify import classify_cells
from wsi_patches.infer.masked import NUCLEUS_SEEN, with_blanks
from wsi_patches.models import CellClassifier
from wsi_patches.models.described import DescribedNetwork
from wsi_patches.models.input_mask import InputMask
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.slides import open_slide
from wsi_patches.train.dss_xai import TURNS_AND_FLIPS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings, cut_fields, train_fields
from wsi_patches.train.masked import masked_patches
from wsi_patches.train.one_against_control import OneAgainstControlSettings
from wsi_patches.train.two_set_settings import TwoSetSettings

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 48
SMALL = FieldSettings(
    architecture="dss_xai", network={"width": 8}, input_px=SIDE, batch_size=16, by="slide", mask="nucleus",
    shares={"train": 0.6, "validation": 0.2, "test": 0.2}, patch_cell_diameters=CELL_DIAMETERS,
    training=EngineSettings(epochs=6, optimizer="sgd", learning_rate=0.05, device="cpu"),
)  # fmt: skip


def glass(count=1, side=SIDE):
    return np.full((count, side, side, 3), (236, 226, 232), np.uint8)


def items(folder, **more):
    return find_inputs([write_class_folders(folder, ("lymphoblast", "normal"), side_px=SIDE, **more)]).items


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier that learnt from nuclei, one bare picture among them; its folder, and the unmasked patches."""
    folder = tmp_path_factory.mktemp("masked")
    found = items(folder / "set", count=60)
    cv2.imwrite(found[0].path, glass()[0])
    few = replace(SMALL, training=replace(SMALL.training, epochs=1))
    return train_fields(few, found, folder / "out"), cut_fields(few, found, folder / "cut")[0]


@pytest.fixture(scope="module")
def classifier(trained):
    return CellClassifier.load(trained[0].weights, "cpu", paint=paint_outside)


def shown_to(classifier):
    """Return a classifier and what its network is shown from now on, RGB of 0 to 1, ``(n, s, s, 3)`` each."""
    kept, card = [], classifier.card
    asked = replace(classifier, backend=None)  # runs the network itself, not a copy

    def keep(_network, given):
        pixels = given[0].permute(0, 2, 3, 1).numpy()
        kept.append(pixels * np.array(card.std, np.float32) + np.array(card.mean, np.float32))

    asked.network.register_forward_pre_hook(keep)
    return asked, kept


def test_what_stays_is_the_part_and_all_else_is_black():
    cells = painted_cells(6, SIDE)[0]
    whole, nucleus = paint_outside(cells, "cell"), paint_outside(cells, "nucleus")
    for painted in (whole, nucleus):
        kept = painted.images.any(axis=-1)
        assert np.array_equal(painted.images[kept], cells[kept])
        assert 0.05 < kept.mean() < 0.7
        assert not painted.blank.any()
    assert (nucleus.images.any(axis=-1) <= whole.images.any(axis=-1)).all()
    assert nucleus.images.any(axis=-1).sum() < 0.95 * whole.images.any(axis=-1).sum()
    bare = paint_outside(glass(2), "cell", "hue")
    assert bare.blank.all()
    assert not bare.images.any()


def test_training_paints_the_middle_as_use_does_and_the_margin_black(trained, tmp_path):
    _, patches = trained
    few = replace(patches, images=np.asarray(patches.images[:5]), truth=patches.truth[:5])
    painted = masked_patches(few, InputMask("cell", "hue"), 32, tmp_path)
    inner = slice(8, 40)
    middle = np.ascontiguousarray(few.images[:, inner, inner])
    assert np.array_equal(painted.images[:, inner, inner], paint_outside(middle, "cell", "hue").images)
    outside = np.array(painted.images)
    outside[:, inner, inner] = 0
    assert not outside.any()


def test_the_card_says_so_and_a_patch_without_a_nucleus_is_told(trained):
    result, patches = trained
    assert result.card.mask == InputMask("nucleus", "otsu")
    assert result.left_out == (
        "in 1 of 60 patches no nucleus stands out (otsu): they are black all over, and learnt from and measured so",
    )
    assert result.card.reference is not None or len(patches) < 100
    assert not result.test.images.read([0])[0, 0, 0].any()  # the gallery shows what the network saw


def test_a_model_of_masked_cells_is_never_shown_others(trained, classifier):
    """Raw patches give, to the last digit that rounding leaves, what masked ones gave when it was measured."""
    result, patches = trained
    raw = np.asarray(patches.images[result.test.images.rows])
    np.testing.assert_allclose(classifier.probabilities(raw), result.test.probabilities, atol=1e-4)
    asked, seen = shown_to(classifier)
    asked.probabilities(raw)
    np.testing.assert_allclose(seen[0] * 255, paint_outside(raw, "nucleus").images, atol=0.01)
    larger = np.stack([cv2.resize(image, (96, 96), interpolation=cv2.INTER_CUBIC) for image in raw])
    asked.probabilities(larger)
    assert (np.abs(seen[1]).max(axis=-1) < 1e-4).mean() > 0.5  # masked at the network's own size


def test_it_is_not_loaded_without_what_masks(trained):
    with pytest.raises(ModelError, match="it was shown the nucleus alone: load it with paint="):
        CellClassifier.load(trained[0].weights, "cpu")


def test_explain_shows_it_masked_cells_too(trained, classifier):
    raw = np.asarray(trained[1].images[:3])
    inputs = DescribedNetwork.of_classifier(classifier).inputs(raw).permute(0, 2, 3, 1).numpy()
    pixels = inputs * np.array(classifier.card.std, np.float32) + np.array(classifier.card.mean, np.float32)
    np.testing.assert_allclose(pixels * 255, paint_outside(raw, "nucleus").images, atol=0.01)


def test_cells_of_a_slide_are_masked_and_black_ones_are_told(classifier, tmp_path):
    """A cell is beside bare glass on a picture: the model sees a nucleus of one, and black of the other."""
    cell = painted_cells(1, SIDE)[0][0]
    cv2.imwrite(str(tmp_path / "two.png"), np.concatenate([cell, glass()[0]], axis=1)[..., ::-1])
    asked, seen = shown_to(replace(classifier, card=replace(classifier.card, classes=("blast", "other"))))
    cells = Cells.at(np.array([[SIDE / 2, SIDE / 2], [1.5 * SIDE, SIDE / 2]]), ("white_cell",))
    with open_slide(tmp_path / "two.png") as slide:
        told, _ = classify_cells(slide, cells, asked, SIDE / CELL_DIAMETERS)
    assert told.attributes[NUCLEUS_SEEN].tolist() == [1, 0]
    corners = np.concatenate(seen)[:2, :4, :4]
    np.testing.assert_allclose(corners, 0, atol=1e-4)
    report = with_blanks(SlideReport("two", "two.png", "", DONE), told, asked)
    assert report.warnings == (
        "in 1 of 2 cells no nucleus stands out (otsu): model fields, which is shown the nucleus alone, saw black of "
        "them, and what it says of them means little",
    )


def test_tasks_that_show_whole_pictures_refuse_a_mask():
    with pytest.raises(UsageError, match="two_sets shows whole pictures of both sets: leave mask: cell out"):
        TwoSetSettings(mask="cell")
    with pytest.raises(UsageError, match="one_against_control shows whole pictures: leave mask: nucleus out"):
        OneAgainstControlSettings(mask="nucleus", input_px=144)
    with pytest.raises(UsageError, match="mask is none, cell or nucleus and mask_by otsu or hue, found 'body'"):
        FieldSettings(mask="body")


PLAIN = replace(
    SMALL,
    augmentation=TURNS_AND_FLIPS,
    training=EngineSettings(epochs=6, optimizer="adamw", learning_rate=5e-3, device="cpu", keep="last"),
)


def reached(folder, told_by, mask, *, shuffled=False):
    """Return the balanced accuracy on cells whose class one thing tells."""
    found = find_inputs([write_discs(folder / "set", 100, told_by, SIDE, shuffled=shuffled)]).items
    done = train_fields(replace(PLAIN, mask=mask), found, folder / "out")
    return done.card.scores["test_balanced_accuracy"]


@pytest.mark.slow
def test_what_lies_outside_of_the_cell_cannot_be_learnt_from(tmp_path):
    """A red cell in the corner tells the class: a network that sees it learns that, one that is shown cells cannot."""
    assert reached(tmp_path / "all", "corner", "none") > 0.9
    assert reached(tmp_path / "cell", "corner", "cell") < 0.75


@pytest.mark.slow
def test_a_small_training_on_nuclei_beats_dealt_labels(tmp_path):
    learnt = reached(tmp_path / "learnt", "nucleus", "nucleus")
    chance = reached(tmp_path / "dealt", "nucleus", "nucleus", shuffled=True)
    assert learnt > 0.9 > 0.75 > chance
