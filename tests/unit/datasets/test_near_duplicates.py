"""Copies are found whatever was done to them, and cells that only look alike are not called copies."""

import io
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import shared_files
from wsi_patches.datasets.near_duplicates import CopyRule, find_copies, find_exact_copies, find_near_copies
from wsi_patches.datasets.thumbnails import ORIENTATIONS, thumbnails_of_arrays, thumbnails_of_files
from wsi_patches.errors import UsageError

SETS = ("all_smears/images", "bccd/images", "txl_pbc/pbc/images", "txl_pbc/raabin/images")


def recompressed(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream))


def cropped(image):
    rows, columns = (int(side * 0.025) for side in image.shape[:2])
    return image[rows:-rows, columns:-columns]


CHANGES = {
    "recompressed": recompressed,
    "resized": lambda image: cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
    "rotated": lambda image: np.rot90(image).copy(),
    "mirrored": lambda image: image[:, ::-1].copy(),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "cropped": cropped,
}


def field(seed, side=200):
    """A pale field with some dark cells."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), 225, np.uint8)
    for _ in range(14):
        x, y, radius = (int(value) for value in rng.integers((0, 0, 6), (side, side, 16)))
        cv2.circle(image, (x, y), radius, rng.integers(60, 180, 3).tolist(), -1)
    return cv2.GaussianBlur(image, (5, 5), 1)


def real_images(data, folder, count):
    return [np.asarray(Image.open(data / name).convert("RGB")) for name in shared_files(folder)[:count]]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("folder", SETS)
def test_real_copies_are_found_and_no_two_other_images(shared_data, folder, change):
    originals = real_images(shared_data, folder, 30)
    images = [(f"o{i}", image) for i, image in enumerate(originals)]
    images += [(f"c{i}", CHANGES[change](image)) for i, image in enumerate(originals)]
    found = find_copies(thumbnails_of_arrays(images), ["train"] * 30 + ["test"] * 30)
    right = {copy.id_a[1:] for copy in found if copy.id_a[1:] == copy.id_b[1:]}
    assert len(right) >= 27
    assert len(found) == len(right)


def test_what_the_real_sets_hold_already(shared_data):
    fields = [(Path(name).stem, str(shared_data / name)) for name in shared_files("bccd/images")]
    (copy,) = find_copies(thumbnails_of_files(fields))
    assert (copy.id_a, copy.id_b, copy.kind) == ("BloodImage_00037", "BloodImage_00038", "near")
    smears = [(Path(name).stem, str(shared_data / name)) for name in shared_files("all_smears/images")]
    thumbnails = thumbnails_of_files(smears)
    assert find_copies(thumbnails) == []
    (refocused,) = find_copies(thumbnails, rule=CopyRule(min_correlation=0.8))
    assert (refocused.id_a, refocused.id_b) == ("WBC-Benign-148", "WBC-Benign-152")


@given(st.integers(0, 10_000), st.integers(1, 7))
def test_each_orientation_is_found_and_named(seed, orientation):
    image = field(seed)
    turned = np.rot90(image[:, ::-1] if orientation >= 4 else image, orientation % 4)
    (copy,) = find_near_copies(thumbnails_of_arrays([("a", image), ("b", turned), ("c", field(seed + 1))]))
    assert (copy.id_a, copy.id_b, copy.orientation) == ("a", "b", ORIENTATIONS[orientation])
    assert copy.correlation > 0.99


def white_cells(data):
    """Crops of 160 px about the white cells of BCCD."""
    cells = []
    for name in shared_files("bccd/annotations"):
        image = np.asarray(Image.open(data / "bccd/images" / f"{Path(name).stem}.jpg"))
        for marked in ElementTree.parse(data / name).getroot().iter("object"):
            left, top, right, bottom = (int(str(side.text)) for side in marked.iterfind("bndbox/*"))
            x, y = (left + right) // 2 - 80, (top + bottom) // 2 - 80
            if marked.findtext("name") == "WBC" and min(x, y) >= 0 and x + 160 <= 640 and y + 160 <= 480:
                cells.append((f"{Path(name).stem}-{x}-{y}", image[y : y + 160, x : x + 160]))
    assert len(cells) > 90
    return cells


def cut_out(image):
    """The largest coloured thing, on black."""
    saturation = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1]
    _, coloured = cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(coloured)
    cell = labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()
    return np.where(cell[..., None], image, 0).astype(np.uint8)


@pytest.mark.parametrize("prepare", [np.asarray, cut_out])
def test_single_cells_that_look_alike_are_no_copies(shared_data, prepare):
    cells = [(name, prepare(image)) for name, image in white_cells(shared_data)]
    # The one pair that may be found is of one cell: that of the field that was photographed twice.
    assert {copy.id_a[:16] for copy in find_copies(thumbnails_of_arrays(cells))} <= {"BloodImage_00037"}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_of_single_cells_on_black_are_found(shared_data, change):
    cells = [(name, cut_out(image)) for name, image in white_cells(shared_data)[:30]]
    copies = [(f"copy {name}", CHANGES[change](image)) for name, image in cells]
    found = find_copies(thumbnails_of_arrays([*cells, *copies]), ["train"] * 30 + ["test"] * 30)
    assert all(copy.id_b == f"copy {copy.id_a}" for copy in found)
    assert len(found) >= 28


def test_exact_copies_are_told_apart_from_near_ones(tmp_path):
    image = field(1)
    for name in ("a", "b"):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    Image.fromarray(image).save(tmp_path / "c.bmp")
    Image.fromarray(image).save(tmp_path / "d.jpg", quality=70)
    paths = [(path.stem, str(path)) for path in sorted(tmp_path.iterdir())]
    found = find_copies(thumbnails_of_files(paths))
    assert [(copy.id_a, copy.id_b, copy.kind) for copy in found] == [
        ("a", "b", "same file"),
        ("a", "c", "same pixels"),
        ("a", "d", "near"),
    ]


def test_across_splits_every_equal_image_is_named_once_and_none_within():
    image, other = field(2), field(3)
    names = ["train", "train", "test", "train", "test"]
    images = [("a", image), ("b", other), ("c", image), ("d", image), ("e", field(5))]
    found = find_copies(thumbnails_of_arrays(images), names)
    assert [(copy.id_a, copy.id_b) for copy in found] == [("a", "c"), ("c", "d")]
    assert [(copy.split_a, copy.split_b) for copy in found] == [("train", "test"), ("test", "train")]
    assert find_copies(thumbnails_of_arrays(images), ["train"] * 5) == []


def test_many_equal_images_make_few_pairs():
    image = field(2)
    assert len(find_exact_copies(thumbnails_of_arrays((str(i), image) for i in range(50)))) == 49


def test_blank_images_are_copies_of_nothing():
    images = [(str(i), np.full((64, 64, 3), 200 + i // 2, np.uint8)) for i in range(4)]
    assert find_copies(thumbnails_of_arrays(images)) == []
    assert find_copies(thumbnails_of_arrays([])) == []


def test_more_images_than_fit_one_block_are_all_compared(monkeypatch):
    monkeypatch.setattr("wsi_patches.datasets.near_duplicates.ROWS", 3)
    monkeypatch.setattr("wsi_patches.datasets.near_duplicates.COLUMNS", 4)
    images = [(str(i), field(i)) for i in range(11)] + [("copy", recompressed(field(4)))]
    (copy,) = find_copies(thumbnails_of_arrays(images))
    assert (copy.id_a, copy.id_b) == ("4", "copy")


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_compared(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.fromarray(field(1)).save(tmp_path / "good.png")
    thumbnails = thumbnails_of_files([("bad", str(tmp_path / "bad.jpg")), ("good", str(tmp_path / "good.png"))])
    assert thumbnails.ids == ("good",)
    (sentence,) = thumbnails.unreadable
    assert sentence.startswith("bad was compared with nothing")


def test_limits_out_of_range_are_told():
    with pytest.raises(UsageError, match="65"):
        CopyRule(max_distance=65)
    with pytest.raises(UsageError, match=r"1\.5"):
        CopyRule(min_correlation=1.5)
