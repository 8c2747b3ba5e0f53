import re

import cv2
import numpy as np
import pytest

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic import (
    LARGE_FIELD,
    SMALL_FIELD,
    AllIdbField,
    SmearSettings,
    all_idb1_fields,
    write_all_idb1,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all_idb1")
    return folder, write_all_idb1(folder, 3, seed=9)


def test_the_folder_is_laid_out_like_all_idb1(written):
    folder, truth = written
    assert list(truth) == ["Im001_1", "Im034_0", "Im048_1"]
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        f"{part}/{name}.{end}" for name in truth for part, end in (("im", "jpg"), ("xyc", "xyc"), ("other", "xyc"))
    }
    sizes = {name: cv2.imread(str(folder / "im" / f"{name}.jpg")).shape[1::-1] for name in truth}
    assert sizes == {"Im001_1": SMALL_FIELD, "Im034_0": LARGE_FIELD, "Im048_1": LARGE_FIELD}


def test_files_hold_the_truth_one_based(written):
    folder, truth = written
    for name, cells in truth.items():
        for part, class_name, between in (("xyc", "blast", "\t"), ("other", "other", " ")):
            text = (folder / part / f"{name}.xyc").read_bytes().decode("ascii")
            assert re.fullmatch(rf"(\d+{between}\d+\n)*", text)
            points = np.array([line.split(between) for line in text.splitlines()], int).reshape(-1, 2) - 1
            expected = cells.xy[cells.class_index == cells.class_names.index(class_name)]
            assert np.array_equal(points, expected)


def test_healthy_people_have_no_blasts_and_an_empty_file(written):
    folder, truth = written
    assert truth["Im034_0"].count("blast") == 0
    assert (folder / "xyc" / "Im034_0.xyc").read_bytes() == b""
    assert truth["Im001_1"].count("blast") > 0


def test_the_whole_set_has_the_real_numbers():
    fields = all_idb1_fields(108, leukemic=49)
    assert [field.number for field in fields] == list(range(1, 109))
    assert sum(field.size == SMALL_FIELD for field in fields) == 33
    assert all_idb1_fields(2, seed=1)[0] == all_idb1_fields(5, seed=1)[0]


def test_own_fields_can_be_given(tmp_path):
    field = AllIdbField(7, True, SmearSettings(seed=1, blasts=3, others=1), Size(400, 300))
    truth = write_all_idb1(tmp_path, [field])
    assert truth["Im007_1"].count("blast") == 3
    with pytest.raises(OutputExists, match="Im007_1"):
        write_all_idb1(tmp_path, [field])
    with pytest.raises(UsageError, match="share a name"):
        write_all_idb1(tmp_path / "b", [field, field])


def test_impossible_fields_are_refused():
    with pytest.raises(UsageError, match="blasts=0"):
        AllIdbField(34, False, SmearSettings())
    with pytest.raises(UsageError, match="49 fields"):
        all_idb1_fields(200)
