"""A folder with one table and the images that it names; what is unclear is told."""

import pytest

from wsi_patches.datasets.label_folder import find_label_table
from wsi_patches.errors import UsageError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_lie_below_the_table_or_beside_it(tmp_path):
    touch(tmp_path / "below", "labels.csv", "img/1.png", "notes/read.txt")
    touch(tmp_path / "beside", "labels.CSV", "1.png")

    assert find_label_table(tmp_path / "below") == (tmp_path / "below/labels.csv", tmp_path / "below/img")
    assert find_label_table(tmp_path / "beside") == (tmp_path / "beside/labels.CSV", tmp_path / "beside")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["img/1.png"], "one table of labels .*found none"),
        (["a.csv", "b.csv", "1.png"], "found a.csv, b.csv"),
        (["a.csv"], "must lie in one folder.*found none"),
        (["a.csv", "x/1.png", "y/1.png"], "found .*x, .*y"),
    ],
)
def test_what_is_unclear_is_told(tmp_path, names, message):
    touch(tmp_path / "set", *names)
    with pytest.raises(UsageError, match=message):
        find_label_table(tmp_path / "set")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        find_label_table(tmp_path / "none")
