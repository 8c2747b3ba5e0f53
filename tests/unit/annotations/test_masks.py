"""Masks: regions into cells, on painted masks and on BCCD's nuclei."""

import numpy as np
import pytest
from PIL import Image

from tests.unit.annotations.made_boxes import classes_of
from wsi_patches.annotations import boxes_of, cells_from_labels, cells_from_mask, read_voc
from wsi_patches.errors import AnnotationError


def painted(tmp_path, pixels, mode=None):
    path = tmp_path / "mask.png"
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path)
    return path


def cell_mask():
    """A grey cell with a white nucleus, and a white corner pixel that touches nothing."""
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:15, 10:30] = 128
    pixels[8:12, 16:24] = 255
    pixels[29, 39] = 255
    return pixels


def test_whole_cells_and_nuclei(tmp_path):
    path = painted(tmp_path, cell_mask())
    whole = cells_from_mask(path, "lymphocyte")
    assert whole.class_names == ("lymphocyte",)
    assert boxes_of(whole).tolist() == [[10, 5, 29, 14], [39, 29, 39, 29]]
    assert whole.xy.tolist() == [[19.5, 9.5], [39, 29]]
    assert np.allclose(whole.attributes["radius_px"], np.sqrt(np.array([200, 1]) / np.pi))
    nuclei = cells_from_mask(path, above=200)
    assert boxes_of(nuclei).tolist() == [[16, 8, 23, 11], [39, 29, 39, 29]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_every_kind_of_picture(tmp_path, mode):
    pixels = np.where(cell_mask() > 0, 255, 0).astype(np.uint8)
    assert boxes_of(cells_from_mask(painted(tmp_path, pixels, mode))).tolist() == [[10, 5, 29, 14], [39, 29, 39, 29]]


def test_a_black_mask_has_no_cells(tmp_path):
    path = painted(tmp_path, np.zeros((4, 4), np.uint8))
    assert len(cells_from_mask(path)) == len(cells_from_labels(path)) == 0


def test_labels_part_cells_that_touch(tmp_path):
    pixels = np.zeros((20, 20), np.uint16)
    pixels[2:8, 2:8] = 700
    pixels[2:8, 8:12] = 3
    path = painted(tmp_path, pixels)
    assert len(cells_from_mask(path)) == 1
    assert boxes_of(cells_from_labels(path)).tolist() == [[8, 2, 11, 7], [2, 2, 7, 7]]
    assert len(cells_from_labels(painted(tmp_path, np.full((3, 3), 9, np.uint8)))) == 1
    with pytest.raises(AnnotationError, match="one channel"):
        cells_from_labels(painted(tmp_path, np.zeros((4, 4, 3), np.uint8)))


def test_a_file_that_is_no_picture_is_named(tmp_path):
    path = painted(tmp_path, np.random.default_rng(1).integers(0, 255, (40, 40), np.uint8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(AnnotationError, match=r"mask\.png"):
        cells_from_mask(path)
    path.write_text("no picture")
    with pytest.raises(AnnotationError, match=r"mask\.png"):
        cells_from_labels(path)
    with pytest.raises(AnnotationError, match=r"none\.png"):
        cells_from_mask(tmp_path / "none.png")


def test_real_nuclei_lie_in_the_boxes_of_their_white_cells(shared_data):
    inside = nuclei = 0
    for mask in sorted((shared_data / "bccd" / "wbc_nucleus_masks").glob("*.png")):
        found = cells_from_mask(mask, above=127)
        annotated = read_voc(shared_data / "bccd" / "annotations" / f"{mask.stem}.xml")
        boxes = boxes_of(annotated)[[name == "WBC" for name in classes_of(annotated)]]
        held = (boxes[:, None, :2] <= found.xy) & (found.xy <= boxes[:, None, 2:])
        nuclei += len(found)
        inside += int(held.all(axis=-1).any(axis=0).sum())
    assert (nuclei, inside) == (127, 125)
