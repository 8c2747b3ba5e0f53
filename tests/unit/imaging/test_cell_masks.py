"""Masks of cells and nuclei on painted and real cells."""

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tests.unit.imaging.cut_cells import painted_cells
from wsi_patches.errors import UsageError
from wsi_patches.imaging.cell_masks import cell_masks

METHODS = ["otsu", "hue"]


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / max(1, np.count_nonzero(first) + np.count_nonzero(second))


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_without_neighbours_has_its_painted_size(method):
    shares = []
    for image, radius in painted_cells(3, red_coverage=0.0, platelets_per_red=0.0):
        found = cell_masks(image, method)
        assert not (found.nucleus & ~found.cell).any()
        shares.append(np.sqrt(np.count_nonzero(found.cell) / np.pi) / radius)
    assert 0.9 < np.median(shares) < 1.15


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0, 140, 255])
def test_an_empty_image_has_no_cell(method, level, rng):
    noise = np.clip(rng.normal(level, 1, (80, 80, 3)), 0, 255).astype(np.uint8)
    for image in (np.full((80, 80, 3), level, np.uint8), noise):
        assert not any(mask.any() for mask in cell_masks(image, method))


@pytest.mark.parametrize("method", METHODS)
def test_the_lamp_hardly_matters(method):
    image = next(painted_cells(8, noise_sigma=0.5))[0]
    tinted = np.clip(image * np.array([0.95, 0.9, 0.8]), 0, 255).astype(np.uint8)
    for before, after in zip(cell_masks(image, method), cell_masks(tinted, method), strict=True):
        assert dice(before, after) > 0.95


@pytest.mark.parametrize(("method", "least"), [("otsu", 0.75), ("hue", 0.75)])
def test_nuclei_are_where_people_drew_them(shared_data, method, least):
    found = [dice(cell_masks(image, method).nucleus, drawn) for image, drawn in drawn_nuclei(shared_data / "bccd", 30)]
    assert len(found) > 20
    assert np.median(found) > least


def drawn_nuclei(folder, fields):
    """Cut the white cells of the first fields, half as wide again as their boxes, with the drawn nuclei."""
    for annotation in sorted((folder / "annotations").glob("*.xml"))[:fields]:
        image, drawn = (
            cv2.imread(str(next((folder / name).glob(f"{annotation.stem}*"))))
            for name in ("images", "wbc_nucleus_masks")
        )
        for item in ElementTree.parse(annotation).iter("object"):
            if item.findtext("name") == "WBC":
                left, top, right, bottom = (
                    int(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")
                )
                half = round(0.75 * max(right - left, bottom - top))
                x, y = (left + right) // 2, (top + bottom) // 2
                cut = (slice(max(0, y - half), y + half), slice(max(0, x - half), x + half))
                mask = drawn[cut][..., 0] > 127
                if mask.any():
                    yield np.ascontiguousarray(image[cut][..., ::-1]), mask


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="unknown method of masks 'canny': use one of otsu, hue"):
        cell_masks(np.zeros((9, 9, 3), np.uint8), "canny")


def test_a_batch_is_refused():
    with pytest.raises(UsageError, match="one image"):
        cell_masks(np.zeros((2, 9, 9, 3), np.uint8))


@pytest.mark.parametrize("method", METHODS)
def test_a_neighbour_at_the_border_is_left_out(method):
    image = np.full((160, 160, 3), (228, 222, 226), np.uint8)
    for centre in ((80, 80), (8, 12)):
        cv2.circle(image, centre, 30, (170, 150, 210), -1)
        cv2.circle(image, centre, 22, (95, 45, 140), -1)
    found = cell_masks(image, method)
    assert not found.cell[:35, :35].any()
    assert np.count_nonzero(found.cell) == pytest.approx(np.pi * 30**2, rel=0.1)
    assert np.count_nonzero(found.nucleus) == pytest.approx(np.pi * 22**2, rel=0.1)
