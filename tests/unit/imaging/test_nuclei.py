"""The white-cell finder on painted and on real smears."""

import pickle
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from wsi_patches.counting import match_points_to_boxes
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.synthetic import SmearSettings, paint_smear

FINDER = WhiteCellFinder()


def found_in(image, finder=FINDER):
    return finder.find(image, finder.calibrate([image]))


def right_in(image, cells, diameter):
    """True positives, false positives, misses; a point is right within half a cell of a painted one."""
    found = found_in(image)
    half = diameter / 2
    return match_points_to_boxes(
        np.stack([found.x, found.y], axis=1), found.score, np.hstack([cells.xy - half, cells.xy + half])
    )


@pytest.mark.parametrize("diameter", [18.0, 48.0, 120.0, 240.0])
def test_the_scale_is_found_from_the_field_itself(diameter):
    side = int(max(500, 10 * diameter))
    settings = SmearSettings(seed=5, cell_diameter_px=diameter, blasts=7, others=7)
    image, cells = paint_smear(Size(side, side), settings)
    right, wrong, missed = right_in(image, cells, diameter)
    assert right >= 12
    assert wrong + missed <= 3


@pytest.mark.parametrize(
    "look",
    [
        {"stain_strength": 0.4},
        {"stain_strength": 2.0},
        {"uneven_light": 0.8},
        {"red_hue": 0.5},
        {"lamp_rgb": (240.0, 225.0, 160.0)},
        {"blur_px": 3.0},
        {"red_coverage": 0.6, "rouleaux": 0.3},
        {"red_coverage": 0.0},
    ],
    ids=str,
)
def test_stain_light_and_crowding_may_vary(look):
    image, cells = paint_smear(Size(800, 800), SmearSettings(seed=3, blasts=6, others=6, **look))
    right, wrong, _ = right_in(image, cells, 48.0)
    assert right >= 11
    assert wrong <= 1


def test_touching_blasts_are_told_apart():
    settings = SmearSettings(seed=3, blasts=30, others=0, touching=0.9)
    image, _ = paint_smear(Size(900, 900), settings)
    assert 27 <= len(found_in(image)) <= 33


def test_a_field_of_hardly_anything_but_blasts():
    settings = SmearSettings(seed=3, blasts=120, others=0, touching=0.9, red_coverage=0.1)
    image, _ = paint_smear(Size(1000, 1000), settings)
    assert 110 <= len(found_in(image)) <= 130


@pytest.mark.parametrize("hue", [0.0, 0.3, 0.5])
def test_red_cells_and_platelets_alone_give_nothing(hue):
    image, _ = paint_smear(Size(700, 700), SmearSettings(seed=11, blasts=0, others=0, red_hue=hue))
    assert len(found_in(image)) == 0


@pytest.mark.parametrize("grey", [0, 128, 240, 255])
def test_blank_images_give_nothing(grey):
    assert len(found_in(np.full((300, 200, 3), grey, np.uint8))) == 0


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (7, 5)])
def test_images_smaller_than_a_cell_do_no_harm(shape, rng):
    image = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert len(found_in(image)) <= 1
    assert len(found_in(image, WhiteCellFinder(cell_diameter_px=30.0))) <= 1


def test_noise_on_glass_gives_nothing(rng):
    glass = np.clip(rng.normal(225, 8, (500, 500, 3)), 0, 255).astype(np.uint8)
    assert len(found_in(glass)) == 0


def test_lobes_of_one_nucleus_are_one_cell():
    image = np.full((200, 200, 3), 225, np.uint8)
    for x, y in ((90, 92), (108, 90), (100, 106)):
        cv2.circle(image, (x, y), 7, (90, 60, 170), -1)
    found = found_in(image, WhiteCellFinder(cell_diameter_px=50.0))
    assert len(found) == 1
    assert np.hypot(found.x[0] - 99.3, found.y[0] - 96) < 2


def test_a_cell_cut_by_the_border_counts_when_half_of_it_is_seen():
    image = np.full((200, 200, 3), 225, np.uint8)
    cv2.circle(image, (0, 100), 20, (90, 60, 170), -1)
    assert len(found_in(image, WhiteCellFinder(cell_diameter_px=50.0))) == 1


def test_a_platelet_is_no_cell():
    image = np.full((200, 200, 3), 225, np.uint8)
    cv2.circle(image, (100, 100), 6, (90, 60, 170), -1)
    assert len(found_in(image, WhiteCellFinder(cell_diameter_px=50.0))) == 0


def test_a_known_pixel_size_bounds_the_estimate():
    image, _ = paint_smear(Size(600, 600), SmearSettings(seed=3, blasts=5, others=5))
    assert FINDER.calibrate([image], mpp=0.1).cell_diameter_px == pytest.approx(100.0)
    assert FINDER.calibrate([image], mpp=2.0).cell_diameter_px == pytest.approx(7.5)


def test_calibration_travels_and_scales():
    image, _ = paint_smear(Size(600, 600), SmearSettings(seed=3, blasts=5, others=5))
    calibration = FINDER.calibrate([image])
    assert pickle.loads(pickle.dumps(calibration)) == calibration
    half = calibration.scaled(2.0)
    assert half.cell_diameter_px == pytest.approx(calibration.cell_diameter_px / 2)
    small = cv2.resize(image, (300, 300), interpolation=cv2.INTER_AREA)
    assert len(FINDER.find(small, half)) == len(FINDER.find(image, calibration))


def test_scores_and_radii_are_in_range():
    image, _ = paint_smear(Size(600, 600), SmearSettings(seed=3, blasts=5, others=5))
    found = found_in(image)
    assert found.score.dtype == np.float32
    assert 0 < found.score.min() <= found.score.max() <= 1
    assert 0.35 * 48 < np.median(found.radius_px) < 0.7 * 48


@pytest.mark.parametrize("knobs", [{"contrast": 0.0}, {"cell_diameter_px": -1.0}, {"reach": float("nan")}])
def test_knobs_out_of_range_are_refused(knobs):
    with pytest.raises(UsageError, match="greater than 0"):
        WhiteCellFinder(**knobs)


def test_calibration_needs_a_sample():
    with pytest.raises(UsageError, match="at least one sample"):
        FINDER.calibrate([])


def read_rgb(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def f1_of(fields):
    total = np.zeros(3, int)
    for image, boxes in fields:
        found = found_in(image)
        total += match_points_to_boxes(np.stack([found.x, found.y], axis=1), found.score, boxes)
    return 2 * total[0] / (2 * total[0] + total[1] + total[2])


def bccd_boxes(path):
    objects = [one.find("bndbox") for one in ET.parse(path).iter("object") if one.findtext("name") == "WBC"]
    return [[float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")] for box in objects]


def test_bccd_fields(shared_data):
    root = shared_data / "bccd"
    paths = sorted((root / "images").iterdir())[::3]
    assert f1_of((read_rgb(path), bccd_boxes(root / "annotations" / f"{path.stem}.xml")) for path in paths) > 0.92


def test_unevenly_lit_fields(shared_data):
    root, fields = shared_data / "wbc_fov", []
    for path in sorted((root / "images").iterdir()):
        image = read_rgb(path)
        rows = np.loadtxt(root / "labels_yolo" / f"{path.stem}.txt", ndmin=2)[:, 1:]
        boxes = np.hstack([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2])
        fields.append((image, boxes * np.tile(image.shape[1::-1], 2)))
    assert f1_of(fields) > 0.85


def test_real_tissue_does_not_crash(shared_data):
    tifffile = pytest.importorskip("tifffile")
    image = tifffile.imread(shared_data / "slides" / "aperio_cmu-1-small-region.svs", key=0)[:700, :700]
    assert len(found_in(np.ascontiguousarray(image))) >= 0
