"""Which patches hold more than glass: on painted and on real slides."""

import pickle
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.imaging.foreground import Foreground, ForegroundSettings, find_foreground
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.synthetic import Smear, SmearSettings, paint_smear

BARE = {"red_coverage": 0.0, "blasts": 0, "others": 0, "platelets_per_red": 0.0, "debris_per_mpx": 0.0}
LOOKS = [
    {},
    {"stain_strength": 0.4},
    {"uneven_light": 0.4},
    {"noise_sigma": 5.0},
    {"blur_px": 5.0},
    {"lamp_rgb": (240.0, 225.0, 160.0)},
    {"lamp_rgb": (120.0, 115.0, 125.0)},
    {"red_coverage": 0.9, "rouleaux": 0.4},
    {"red_coverage": 0.02},
]
SPECS = [PatchSpec(256), PatchSpec(256, overlap=0.25), PatchSpec(128), PatchSpec(64)]


def grid_over(image, spec):
    return PatchGrid(Size(image.shape[1], image.shape[0]), spec)


def kept_of(image, size_px=256, mpp=None):
    return find_foreground(ArraySlide(image, mpp)).keep(grid_over(image, PatchSpec(size_px)))


def mask_of(mask, downsample=8.0):
    return Foreground(mask, downsample, np.zeros((4, 4, 3), np.uint8), downsample)


def with_bare_half(smear, glass):
    """Paint a smear whose right half is bare glass: its own, or one flat grey."""
    width, height = smear.size
    pixels = smear.paint_window(Box(0, 0, width, height))
    bare = Smear(smear.size, replace(smear.settings, **BARE))
    half = Box(width // 2, 0, width - width // 2, height)
    pixels[:, width // 2 :] = bare.paint_window(half) if glass == "own" else 240
    return pixels


@pytest.mark.parametrize("glass", ["own", "flat"])
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_bare_glass_is_dropped_and_no_white_cell(look, glass):
    smear = Smear(Size(2048, 2048), SmearSettings(seed=7, **look))
    image = with_bare_half(smear, glass)
    grid = grid_over(image, PatchSpec(256))
    kept, corners = find_foreground(ArraySlide(image)).keep(grid), grid.xy()
    assert kept[corners[:, 0] >= 1024].mean() <= 0.1
    for cell in smear.cells.xy[smear.cells.xy[:, 0] < 1024]:
        assert kept[((corners <= cell) & (cell < corners + 256)).all(axis=1)].all()


@pytest.mark.parametrize("look", [{}, {"uneven_light": 0.4}, {"stain_strength": 2.0}, {"red_hue": 1.0}], ids=str)
def test_a_field_of_nothing_but_cells_keeps_everything(look):
    image, _ = paint_smear(Size(1100, 900), SmearSettings(seed=3, red_coverage=0.8, **look))
    assert kept_of(image).all()


@pytest.mark.parametrize("look", [{}, {"uneven_light": 0.3}, {"noise_sigma": 3.5}, {"lamp_rgb": (250.0, 235.0, 190.0)}])
@pytest.mark.parametrize("side", [640, 2048])
def test_a_field_of_bare_glass_keeps_nothing(look, side):
    image, _ = paint_smear(Size(side, side), SmearSettings(seed=3, **BARE, **look))
    assert not kept_of(image, 128).any()


@pytest.mark.parametrize("grey", [0, 3, 128, 240, 255])
def test_one_flat_grey_keeps_nothing(grey):
    assert not kept_of(np.full((500, 700, 3), grey, np.uint8), 100).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5)])
def test_images_smaller_than_a_cell_do_no_harm(shape, rng):
    foreground = find_foreground(ArraySlide(rng.integers(0, 255, (*shape, 3)).astype(np.uint8), mpp=0.25))
    assert 0 <= foreground.share <= 1
    assert len(foreground.keep([[0, 0, 4, 4]])) == 1


@given(
    st.integers(40, 1400),
    st.integers(40, 1400),
    st.integers(0, 63),
    st.integers(0, 63),
    st.sampled_from([None, 0.25, 0.5]),
)
def test_a_lone_cell_keeps_every_patch_that_reaches_it(x, y, left, top, mpp):
    image = np.full((1440, 1440, 3), (228, 226, 230), np.uint8)
    cv2.circle(image, (x, y), 12, (120, 80, 170), -1)
    boxes = np.array([(x - left, y - top, 64, 64), (x - 10, y - 70, 64, 64), (x + 8, y - 30, 64, 64)])
    foreground = find_foreground(ArraySlide(image, mpp))
    assert foreground.keep(boxes).all()
    away = np.array([(x + 80, y, 64, 64), (x, y - 200, 64, 64)])
    assert not foreground.keep(away).any()


def test_dust_is_dropped_where_the_pixel_size_is_known():
    image = np.full((2048, 2048, 3), 230, np.uint8)
    for x in range(100, 2048, 256):
        cv2.circle(image, (x, x), 3, (60, 60, 60), -1)
    assert not kept_of(image, mpp=0.25).any()
    assert kept_of(image, mpp=None).sum() == 8


def test_a_faint_gradient_and_a_step_of_light_are_not_cells():
    image = np.full((1024, 1024, 3), 240, np.uint8)
    image[:, :, :] = np.linspace(200, 240, 1024)[:, None, None].astype(np.uint8)
    image[:, 500:] += 8
    assert not kept_of(image).any()


def test_a_fluorescent_cell_is_lighter_than_its_ground(rng):
    image = rng.integers(0, 4, (1024, 1024, 3)).astype(np.uint8)
    cv2.circle(image, (640, 640), 20, (0, 0, 120), -1)
    kept = kept_of(image)
    assert kept.reshape(4, 4)[2, 2]
    assert kept.sum() == 1


@given(st.integers(0, 2**32 - 1), st.floats(1, 40), st.integers(1, 9), st.integers(1, 9))
def test_a_place_is_kept_when_it_touches_the_mask(seed, downsample, height, width):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.2
    boxes = np.column_stack([rng.integers(-100, 400, (30, 2)), rng.integers(1, 200, (30, 2))])
    y, x = np.nonzero(mask)
    for box, kept in zip(boxes, mask_of(mask, downsample).keep(boxes), strict=True):
        left, top, right, bottom = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]]) / downsample
        touched = (left < x + 1) & (x < right) & (top < y + 1) & (y < bottom)
        assert kept == touched.any()


def test_a_grid_at_a_coarser_resolution_is_asked_in_level_0_pixels():
    mask = np.zeros((16, 16), bool)
    mask[8, 12] = True
    grid = PatchGrid(Size(64, 64), PatchSpec(16), downsample=2.0)
    assert [place.box for place in grid.where(mask_of(mask).keep(grid))] == [Box(96, 64, 32, 32)]


def test_it_travels_and_keeps_nothing_of_no_places():
    foreground = find_foreground(ArraySlide(np.full((300, 300, 3), 230, np.uint8)))
    assert len(pickle.loads(pickle.dumps(foreground)).keep(np.empty((0, 4)))) == 0


@pytest.mark.parametrize("side", [200, 900, 5000])
def test_the_preview_darkens_what_is_dropped(side):
    image = np.full((side // 2, side, 3), 230, np.uint8)
    cv2.circle(image, (side // 8, side // 8), side // 20, (120, 80, 170), -1)
    foreground = find_foreground(ArraySlide(image))
    picture = foreground.preview(grid_over(image, PatchSpec(side // 4)))
    assert picture.dtype == np.uint8
    assert 600 <= picture.shape[1] <= 1200
    quarter = picture.shape[1] // 4
    assert picture[3, 3].min() > 220
    assert picture[quarter // 2, quarter * 5 // 2].max() < 150


@pytest.mark.parametrize(
    "knobs",
    [
        {"least_contrast": 0.0},
        {"least_contrast": 0.3, "most_contrast": 0.2},
        {"most_contrast": 1.0},
        {"over_noise": 0.0},
        {"least_difference": float("nan")},
        {"least_taken_um2": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(knobs):
    with pytest.raises(UsageError, match="foreground"):
        ForegroundSettings(**knobs)


def read_rgb(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def voc_boxes(path):
    objects = [one.find("bndbox") for one in ET.parse(path).iter("object") if one.findtext("name") == "WBC"]
    corners = [[float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")] for box in objects]
    return np.array(corners).reshape(-1, 4)


def yolo_boxes(path, image, white_class):
    rows = np.loadtxt(path, ndmin=2)
    rows = rows if white_class is None else rows[rows[:, 0] == white_class]
    corners = np.hstack([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2])
    return corners * np.tile(image.shape[1::-1], 2)


def boxed_fields(root, name):
    for path in sorted((root / name / "images").iterdir()):
        image = read_rgb(path)
        if name == "bccd":
            yield image, voc_boxes(root / name / "annotations" / f"{path.stem}.xml")
        else:
            labels = root / name / "labels_yolo" / f"{path.stem}.txt"
            yield image, yolo_boxes(labels, image, None if name == "wbc_fov" else 0)


def holding(boxes, corners, side):
    """Say which patches hold the centre of a box, or a quarter of its area."""
    held = np.zeros(len(corners), bool)
    for left, top, right, bottom in boxes:
        centre = np.array([left + right, top + bottom]) / 2
        shared = np.minimum((right, bottom), corners + side) - np.maximum((left, top), corners)
        held |= ((corners <= centre) & (centre < corners + side)).all(axis=1)
        held |= np.clip(shared, 0, None).prod(axis=1) >= 0.25 * (right - left) * (bottom - top)
    return held


@pytest.mark.parametrize("name", ["bccd", "wbc_fov", "txl_pbc/raabin", "txl_pbc/pbc"])
def test_every_boxed_white_cell_is_kept(shared_data, name):
    cells = 0
    for image, boxes in boxed_fields(shared_data, name):
        foreground, cells = find_foreground(ArraySlide(image)), cells + len(boxes)
        for spec in SPECS:
            grid = grid_over(image, spec)
            assert foreground.keep(grid)[holding(boxes, grid.xy(), spec.size_px)].all()
    assert cells >= 15


def test_tissue_is_kept_and_glass_dropped(shared_data):
    with open_slide(shared_data / "slides" / "aperio_cmu-1-small-region.svs") as slide:
        foreground = find_foreground(slide)
    tissue, thin_strand = (1150, 1500, 128, 128), (300, 1050, 128, 128)
    assert foreground.keep([tissue, thin_strand]).all()
    glass = [(x, y, 100, 100) for x in range(0, 400, 100) for y in range(1500, 2900, 100)]
    assert foreground.keep(glass).mean() < 0.1
    assert 0.35 < foreground.share < 0.5
