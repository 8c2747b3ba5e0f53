"""A slide that looks otherwise than a model's training slides is told, with the figure."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.unit.infer.dotted import counter
from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.infer.count import count_slide
from wsi_patches.infer.finder import ChosenFinder
from wsi_patches.infer.marked import MARKED_CLASSES
from wsi_patches.infer.unlike import look_of_cells, with_likeness
from wsi_patches.models import CellClassifier
from wsi_patches.models.allnet import ALLNet
from wsi_patches.models.card import ModelCard
from wsi_patches.models.reference import InputReference
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.slides import ArraySlide

CARD = ModelCard(
    name="ours",
    title="",
    architecture="allnet",
    settings={},
    classes=("blast", "other"),
    trained_on="",
    limits="",
    licence="",
    input_px=48,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    patch_cell_diameters=1.75,
)
PLACES = [(60.0 + 90 * column, 60.0 + 90 * row) for row in range(4) for column in range(4)]


def painted(seed, blur_px=1.0, density=1.0):
    """Sixteen cells of a field that differs a little from one seed to the next."""
    rng = np.random.default_rng(seed)
    image = np.full((400, 400, 3), 225.0) + rng.normal(0, 3, 3)
    for x, y in PLACES:
        cv2.circle(image, (int(x), int(y)), 24, (190 + 5 * rng.normal(), 160, 190), cv2.FILLED)
        cv2.circle(image, (int(x), int(y)), 15, (110 + 9 * rng.normal(), 60 + 9 * rng.normal(), 150), cv2.FILLED)
    image += rng.normal(0, 5, image.shape)
    seen = cv2.GaussianBlur(255 * (image.clip(1, 255) / 255) ** (density + 0.02 * rng.normal()), (0, 0), blur_px)
    return seen.clip(0, 255).astype(np.uint8)


def field(seed, **changed):
    return ArraySlide(painted(seed, **changed))


CELLS = Cells.at(np.array(PLACES), (WHITE_CELL,))


@pytest.fixture(scope="module")
def card():
    looks = [look_of_cells(field(seed), CELLS, CARD, 48.0) for seed in range(40)]
    return replace(CARD, reference=InputReference.fit(looks, (0.2, 0.25)))


def report():
    return SlideReport("a", "a.png", DONE)


def told(slide, card):
    return with_likeness(report(), slide, CELLS, card, 48.0)


def test_a_slide_of_the_same_kind_is_no_stranger(card):
    said = [told(field(seed), card) for seed in range(100, 120)]
    assert sum(one.abstains for one in said) <= 2
    assert all(one.unlike_training > 0 for one in said)


@pytest.mark.parametrize("changed", [{"blur_px": 4.0}, {"density": 1.6}])
def test_blur_and_stain_are_told_with_the_figure(card, changed):
    said = told(field(200, **changed), card)
    assert said.abstains
    assert f"{said.unlike_training:.1f} times" in said.warnings[0]
    assert "not to be believed" in said.warnings[0]


def test_pixels_of_another_size_are_told(card):
    said = told(ArraySlide(painted(100), mpp=1.0), card)
    assert said.abstains
    assert "1 um per pixel and they 0.2 to 0.25" in said.warnings[-1]


def test_without_cells_or_a_reference_nothing_is_said(card):
    assert told(field(1), CARD) == report()
    assert with_likeness(report(), field(1), CELLS.take(np.zeros(16, bool)), card, 48.0) == report()


def test_models_that_see_many_cells_look_at_each_at_one_scale(card):
    many = counter(1.0).card
    looks = [look_of_cells(field(seed), CELLS, many, 48.0) for seed in range(40)]
    many = replace(many, reference=InputReference.fit(looks, (0.2, 0.25)))
    usual, blurred = [told(field(seed), many) for seed in range(100, 120)], told(field(200, blur_px=4.0), many)
    assert sum(one.abstains for one in usual) <= 2
    assert blurred.abstains
    assert "What it says of cells here is not to be believed" in blurred.warnings[0]

    large = cv2.resize(painted(100), (800, 800), interpolation=cv2.INTER_CUBIC)
    cells = Cells.at(2 * np.array(PLACES) + 0.5, (WHITE_CELL,))
    of_large = look_of_cells(ArraySlide(large), cells, many, 96.0)
    np.testing.assert_allclose(of_large[2:], look_of_cells(field(100), CELLS, many, 48.0)[2:], atol=0.02)


@pytest.mark.parametrize("kind", MARKED_CLASSES)
def test_marked_cells_are_looked_at_where_a_model_tells_their_class(card, kind):
    classifier = CellClassifier(ALLNet(widths=(4, 8), seed=1).eval(), card, "abc", torch.device("cpu"))
    kinds, radii = np.full(16, MARKED_CLASSES.index(kind)), np.full(16, 24.0)
    marked = Cells.at(np.array(PLACES), MARKED_CLASSES, kinds, radius_px=radii)
    slides, finder = (field(100), field(200, blur_px=4.0)), ChosenFinder(None, "none")
    usual, blurred = (count_slide(slide, "a", classifier, None, marked, finder)[0] for slide in slides)
    if kind == WHITE_CELL:
        assert 0 < usual.unlike_training <= 1
        assert blurred.abstains
    else:
        assert usual.unlike_training is blurred.unlike_training is None
