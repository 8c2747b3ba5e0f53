"""Tables of several labels for each image, ADP's among them."""

import numpy as np
import pytest

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.datasets.multi_labels import read_multi_labels
from wsi_patches.errors import UsageError

TABLE = """Patch Names,E,E.M,N.G.X
001.png_crop_16.png,1,1,0
001.png_crop_17.png,1,0,0
002.png_crop_3.png,0,0,1
"""


@pytest.fixture
def adp(tmp_path):
    """A table and the folder of its images, which are never opened."""
    images = tmp_path / "img_res_1um_bicubic"
    images.mkdir()
    for line in TABLE.splitlines()[1:]:
        (images / line.split(",")[0]).touch()
    table = tmp_path / "labels.csv"
    table.write_text(TABLE)
    return table, images


def test_labels_slides_and_files_are_read(adp):
    found = read_multi_labels(*adp)

    assert found.names == ("E", "E.M", "N.G.X")
    assert found.values.dtype == np.uint8
    assert found.values.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert found.slides == ("001", "001", "002")
    assert found.paths[0] == str(adp[1] / "001.png_crop_16.png")
    assert len(found) == 3


def test_columns_come_as_asked(adp):
    found = read_multi_labels(*adp, columns=["E.M", "E"])

    assert found.names == ("E.M", "E")
    assert found.values.tolist() == [[1, 1], [0, 1], [0, 0]]


def test_another_rule_tells_what_is_kept_together(adp):
    found = read_multi_labels(*adp, groups=GroupRule(r"crop_(\d)"))

    assert found.slides == ("1", "1", "3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("002.png_crop_3.png,0", "002.png_crop_3.png,2"), "line 4: E of 002.* is '2'"),
        (lambda text: text.replace("16.png,1,1,0", "16.png,1"), "E.M of 001.png_crop_16.png is ''"),
        (lambda text: text.replace("crop_17", "crop_16"), "names 1 images more than once, such as 001.png_crop_16.png"),
        (lambda text: text + "003.png_crop_1.png,0,0,0\n", "1 of 4 images .* are not in .* such as 003.png_crop_1.png"),
        (lambda text: text.splitlines()[0], "names no image"),
        (lambda text: "name\na.png\n", "no column of labels"),
    ],
)
def test_a_faulty_table_is_told(adp, change, message):
    table, images = adp
    table.write_text(change(TABLE))

    with pytest.raises(UsageError, match=message):
        read_multi_labels(table, images)


def test_a_label_that_the_table_lacks_is_named(adp):
    with pytest.raises(UsageError, match=r"has no column N\.P; it has Patch Names, E, E\.M, N\.G\.X"):
        read_multi_labels(*adp, columns=["E", "N.P"])


def test_images_of_no_known_slide_are_counted(adp):
    with pytest.raises(UsageError, match="nothing tells the slide of 2 of 3 images"):
        read_multi_labels(*adp, groups=GroupRule(r"^(002)"))
