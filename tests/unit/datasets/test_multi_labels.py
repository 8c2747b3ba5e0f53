"""Tables of several labels for each image, ADP's among them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.datasets.multi_labels import label_agreement, read_multi_labels
from wsi_patches.datasets.splits import make_label_shares
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


def test_agreement_counts_absent_labels_too_and_forgives_images_without_any():
    true = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    said = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)

    found = label_agreement(true, said)

    assert found.equal.tolist() == [0.5, 1, 0.75]
    assert found.jaccard.tolist() == [pytest.approx(1 / 3), 1, 0]


@given(st.integers(0, 50))
def test_slides_stay_together_and_splits_get_their_share_of_each_label(seed):
    rng = np.random.default_rng(seed)
    groups = [f"{number % 30:03d}" for number in range(600)]
    values = (rng.random((600, 4)) < (0.5, 0.2, 0.1, 0)).astype(np.uint8)

    split = make_label_shares(values, groups, {"train": 0.8, "validation": 0.1, "test": 0.1}, seed)

    assert all(len(set(split[np.array(groups) == one].tolist())) == 1 for one in set(groups))
    for column in values[:, :3].T:
        assert 0.7 < (split[column == 1] == 0).mean() < 0.9


def test_too_few_slides_are_told():
    with pytest.raises(UsageError, match="2 groups cannot fill 3 splits"):
        make_label_shares(np.ones((4, 1), np.uint8), ["a", "a", "b", "b"], {"a": 0.4, "b": 0.3, "c": 0.3})
