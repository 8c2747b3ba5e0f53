"""`split` on folders and stores: patients whole, the store keeps it, planted leaks are named."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.stores import open_store, verify_store
from wsi_patches.stores.splits import read_store_split
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.split import SplitSettings, split

PATIENTS = 6


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """C-NMC: six patients, three cells each, all of them different pictures."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("c_nmc") / "fold_0"
    for patient in range(PATIENTS):
        kind, prefix = ("all", "") if patient % 2 else ("hem", "H")
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for cell in range(3):
            picture = cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), (60, 60), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / kind / f"UID_{prefix}{patient}_1_{cell + 1}_{kind}.bmp"), picture)
    return folder.parent


@pytest.fixture
def store(cells, tmp_path):
    return extract(ExtractSettings((cells,), tmp_path / "cells.zarr")).out


def sides(path):
    with path.open(newline="") as stream:
        return {row["id"]: row["split"] for row in csv.DictReader(stream)}


def test_patients_of_a_store_stay_whole_and_the_store_keeps_the_split(store, tmp_path):
    result = split(SplitSettings(store, tmp_path / "folds", folds=3))
    opened = open_store(store)
    kept = read_store_split(opened)
    of_patient = {}
    for row, name in zip(opened.slide_rows.tolist(), kept.tolist(), strict=True):
        of_patient.setdefault(opened.slides[row].group, set()).add(name)
    assert len(of_patient) == PATIENTS
    assert all(len(names) == 1 for names in of_patient.values())
    assert set(kept.tolist()) == {"fold1", "fold2", "fold3"}
    assert sides(result.table) == {opened.slides[r].id: n for r, n in zip(opened.slide_rows, kept, strict=True)}
    assert not result.split.warnings
    assert not result.leaks.found
    assert verify_store(store) == []


def test_the_stores_rows_know_patient_label_and_licence(store):
    record = {one.id: one for one in open_store(store).slides}["UID_H0_1_1_hem"]
    assert (record.group, record.group_kind, record.unit, record.label) == ("H0", "patient", "cell", "healthy")
    assert record.licence


def test_a_planted_leak_is_found_and_named(cells, tmp_path):
    folder = tmp_path / "leaky"
    shutil.copytree(cells, folder)
    original = cv2.imread(str(folder / "fold_0" / "all" / "UID_1_1_1_all.bmp"))
    turned = cv2.resize(cv2.rotate(original, cv2.ROTATE_90_CLOCKWISE), (54, 54))
    cv2.imwrite(str(folder / "fold_0" / "all" / "UID_77_1_1_all.bmp"), turned)
    made = split(SplitSettings(folder, tmp_path / "made", shares={"train": 0.6, "test": 0.4}, copies=False))
    with made.table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    flip = {"train": "test", "test": "train"}
    one, same = (next(row for row in rows if name in row["id"]) for name in ("UID_1_1_1_", "UID_77_1_1_"))
    same["split"] = flip[one["split"]]  # a copy on the other side
    other = next(row for row in rows if "UID_H0_1_1" in row["id"])
    other["split"] = flip[other["split"]]  # one of a patient's three cells on the other side
    planted = tmp_path / "planted.csv"
    with planted.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    leaks = split(SplitSettings(folder, tmp_path / "checked", use=str(planted))).leaks
    told = "\n".join(leaks.to_lines())
    assert leaks.found
    assert "patient H0" in told
    assert "UID_77_1_1_all" in told
    assert "UID_1_1_1_all" in told
    assert "rotated" in told
    assert [leak.group for leak in leaks.groups] == ["patient H0"]
    table = (tmp_path / "checked" / "leaks.csv").read_text()
    assert "patient H0" in table
    assert "near" in table


def test_patches_of_one_slide_on_both_sides_are_named(tmp_path, rng):
    cv2.imwrite(str(tmp_path / "slide.png"), rng.integers(0, 256, (256, 512, 3), np.uint8))
    made = extract(ExtractSettings((tmp_path / "slide.png",), tmp_path / "a.zarr", patch_size=128, overlap=0.5)).out
    opened = open_store(made)
    ids = [f"slide#{index}" for index in opened.grid_index.tolist()]
    names = ["train" if x < 200 else "test" for x in opened.xy[:, 0].tolist()]
    lines = ["id,split", *(f"{one},{name}" for one, name in zip(ids, names, strict=True))]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    result = split(SplitSettings(made, tmp_path / "out", use=str(tmp_path / "mine.csv"), copies=False))
    (overlap,) = result.leaks.overlaps
    assert (overlap.slide, overlap.share) == ("slide", 0.5)
    assert overlap.id_a in "\n".join(result.leaks.to_lines())
    assert read_store_split(opened).tolist() == names


def test_a_published_split_is_checked(cells, tmp_path):
    shutil.copytree(cells / "fold_0", tmp_path / "set" / "fold_0")
    (tmp_path / "set" / "fold_1" / "all").mkdir(parents=True)
    (tmp_path / "set" / "fold_1" / "hem").mkdir()
    moved = tmp_path / "set" / "fold_0" / "all" / "UID_1_1_1_all.bmp"
    moved.rename(tmp_path / "set" / "fold_1" / "all" / moved.name)
    healthy = tmp_path / "set" / "fold_0" / "hem" / "UID_H0_1_1_hem.bmp"
    healthy.rename(tmp_path / "set" / "fold_1" / "hem" / healthy.name)
    result = split(SplitSettings(tmp_path / "set", tmp_path / "out", use="published", copies=False))
    assert {leak.group for leak in result.leaks.groups} == {"patient 1", "patient H0"}
    with pytest.raises(UsageError, match="publishes no split"):
        split(SplitSettings(cells, tmp_path / "out2", use="published"))


def test_unknown_patients_are_told_loudly(tmp_path, rng):
    for name in "abcdef":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
    result = split(SplitSettings(tmp_path, tmp_path / "out", folds=2, copies=False))
    assert result.split.warnings[0].startswith("WARNING: 6 of 6 rows have no patient")
    assert json.loads((tmp_path / "out" / "split.json").read_text())["warnings"]
    known = split(SplitSettings(tmp_path, tmp_path / "out2", folds=2, copies=False, group_pattern="^(?P<patient>.)"))
    assert not known.split.warnings


def test_slides_added_later_have_no_split_and_a_split_is_not_replaced_unasked(store, cells, tmp_path, rng):
    split(SplitSettings(store, tmp_path / "folds", folds=3, copies=False))
    with pytest.raises(OutputExists, match="--overwrite"):
        split(SplitSettings(store, tmp_path / "folds", folds=3, copies=False))
    more = cells.parent / "fold_9" / "all"
    more.mkdir(parents=True)
    cv2.imwrite(str(more / "UID_99_1_1_all.bmp"), rng.integers(0, 256, (60, 60, 3), np.uint8))
    extract(ExtractSettings((cells, more / "UID_99_1_1_all.bmp"), store, patch_size=60, edge="pad", resume=True))
    from wsi_patches.errors import StoreError

    with pytest.raises(StoreError, match="wsi-patches split"):
        read_store_split(open_store(store))


@pytest.mark.parametrize(
    "options", [{"folds": 3, "shares": {"train": 0.5, "test": 0.5}}, {"use": "x.csv", "folds": 3}, {"folds": 40}]
)
def test_what_cannot_be_is_refused_before_anything_is_written(cells, tmp_path, options):
    with pytest.raises(UsageError):
        split(SplitSettings(cells, tmp_path / "out", copies=False, **options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["of_a_store", "of_a_folder"])
def test_a_split_of_other_slides_is_refused_and_one_of_some_of_them_says_so(cells, store, tmp_path, name):
    source = store if name == "of_a_store" else cells
    made = split(SplitSettings(source, tmp_path / "made", folds=2, copies=False))
    lines = made.table.read_text().splitlines()
    (tmp_path / "strange.csv").write_text("id,split\nnobody,train\nno one,test\n")
    with pytest.raises(UsageError, match=r"nobody|no one"):
        split(SplitSettings(source, tmp_path / "out", use=str(tmp_path / "strange.csv"), copies=False))
    assert not (tmp_path / "out").exists()
    (tmp_path / "some.csv").write_text("\n".join(lines[:-3]))
    some = split(SplitSettings(source, tmp_path / "some", use=str(tmp_path / "some.csv"), copies=False))
    assert "3 of 18 are in no split" in some.leaks.notes
