"""`extract` on painted folders: the published numbers, the oracle, every executor, resuming, bad slides."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests import oracle_all_idb as oracle
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.extract import extract_part
from wsi_patches.stores import PartWriter, create_store, open_store, verify_store
from wsi_patches.synthetic import AllIdbField, SmearSettings, write_all_idb1
from wsi_patches.workflows.extract import EXTRACT, ExtractSettings, extract, plan_extract
from wsi_patches.workflows.output import is_run_file

SMALL, LARGE = (1712, 1368), (2592, 1944)


@pytest.fixture(scope="session")
def all_idb1(tmp_path_factory):
    """Six painted images, three of each size of ALL-IDB1."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    fields = []
    for number, size in [(1, SMALL), (2, SMALL), (3, SMALL), (48, LARGE), (34, LARGE), (35, LARGE)]:
        leukemic = number not in (34, 35)
        settings = SmearSettings.random(number, blasts=8 if leukemic else 0, others=6)
        fields.append(AllIdbField(number, leukemic, settings, size))
    write_all_idb1(folder, fields)
    return folder


def contents(path):
    """Return everything a store holds, by relative path, but not the log and the lock of the run that wrote it."""
    files = [file for file in path.rglob("*") if file.is_file() and not is_run_file(file.name)]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.fixture(scope="session")
def extracted(all_idb1, tmp_path_factory):
    out = tmp_path_factory.mktemp("stores") / "a.zarr"
    return extract(ExtractSettings((all_idb1,), out, workers=1))


def test_six_images_give_the_published_number_of_patches(extracted):
    store = open_store(extracted.out)
    counts = dict(zip([record.id for record in store.slides], np.bincount(store.slide_rows), strict=True))
    assert counts == {"Im001_1": 48, "Im002_1": 48, "Im003_1": 48, "Im034_0": 117, "Im035_0": 117, "Im048_1": 117}
    assert {outcome.status for outcome in extracted.outcomes} == {"done"}
    assert verify_store(extracted.out) == []


def test_labels_and_pixels_equal_the_oracle(extracted, all_idb1):
    store = open_store(extracted.out)
    images = {record.id: cv2.imread(str(all_idb1 / "im" / f"{record.id}.jpg"))[:, :, ::-1] for record in store.slides}
    labels, rows = store.labels, store.slide_rows
    positives = 0
    for slide_row, record in enumerate(store.slides):
        points = [oracle.read_points((all_idb1 / kind / f"{record.id}.xyc").read_text()) for kind in ("xyc", "other")]
        origins = oracle.patches(*record.size)
        positions = np.flatnonzero(rows == slide_row)
        assert len(positions) == len(origins)
        for position, (column, row) in zip(positions.tolist(), origins, strict=True):
            box = store.place(position).box
            assert (box.x + 1, box.y + 1) == (column, row)
            expected = [len(oracle.local_points(of_class, (column, row))) for of_class in points]
            assert labels[position].tolist() == expected
            positives += sum(expected)
        for position in positions[:: len(positions) // 5].tolist():
            box = store.place(position).box
            assert np.array_equal(store.read([position])[0], images[record.id][box.y : box.bottom, box.x : box.right])
    assert positives > 60


def test_the_slide_table_says_what_the_dataset_says(extracted):
    records = {record.id: record for record in open_store(extracted.out).slides}
    assert records["Im001_1"].label == "ALL"
    assert records["Im034_0"].label == "healthy"
    assert all(record.annotated and record.licence and record.group is None for record in records.values())


@pytest.mark.parametrize(
    "how", [{"workers": 2}, pytest.param({"workers": 2, "cluster": "local"}, marks=pytest.mark.slow)], ids=str
)
def test_every_executor_writes_the_same_bytes(extracted, all_idb1, tmp_path, how):
    other = extract(ExtractSettings((all_idb1,), tmp_path / "b.zarr", **how))
    assert contents(other.out) == contents(extracted.out)


def test_flags_win_over_the_protocol(all_idb1, tmp_path):
    result = extract(ExtractSettings((all_idb1 / "im" / "Im001_1.jpg",), tmp_path / "a.zarr"))
    assert result.patches == 7 * 6  # a plain file: 256 px without overlap, the last row and column shifted inside
    result = extract(ExtractSettings((all_idb1,), tmp_path / "b.zarr", stride=256, tolerance=0))
    settings = open_store(result.out).settings
    assert (settings.spec.step_px, settings.spec.edge, settings.rule.tolerance_px) == (256, "drop", 0)


def test_an_existing_output_is_refused_and_untouched(extracted, all_idb1, tmp_path):
    before = contents(extracted.out)
    with pytest.raises(OutputExists, match="--resume"):
        extract(ExtractSettings((all_idb1,), extracted.out))
    with pytest.raises(UsageError, match="same options"):
        extract(ExtractSettings((all_idb1,), extracted.out, patch_size=128, resume=True))
    with pytest.raises(UsageError, match="give one of them"):
        extract(ExtractSettings((all_idb1,), extracted.out, resume=True, overwrite=True))
    assert contents(extracted.out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="something else"):
        extract(ExtractSettings((all_idb1,), tmp_path / "mine", overwrite=True))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_resume_adds_new_slides_and_keeps_the_ids_of_old_ones(all_idb1, tmp_path):
    im, out = all_idb1 / "im", tmp_path / "a.zarr"
    extract(ExtractSettings((im / "Im001_1.jpg",), out))
    (tmp_path / "again").mkdir()
    copy = tmp_path / "again" / "Im001_1.jpg"
    cv2.imwrite(str(copy), np.full((300, 300, 3), 90, np.uint8))
    result = extract(ExtractSettings((copy, im / "Im001_1.jpg", im / "Im002_1.jpg"), out, resume=True))
    assert {outcome.slide_id: outcome.path for outcome in result.outcomes} == {
        "Im001_1": str(im / "Im001_1.jpg"),
        "Im001_1~2": str(copy),
        "Im002_1": str(im / "Im002_1.jpg"),
    }
    assert sorted(record.id for record in open_store(out).slides) == ["Im001_1", "Im001_1~2", "Im002_1"]


def run_cli(*arguments, **options):
    command = [sys.executable, "-m", "wsi_patches", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_annotations_beside_a_plain_slide(tmp_path):
    cv2.imwrite(str(tmp_path / "s.png"), np.full((512, 512, 3), 200, np.uint8))
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "s.xyc").write_text("blasts\n300 40\nnormal\n20 500\n")
    result = extract(ExtractSettings((tmp_path / "s.png",), tmp_path / "a.zarr", annotations=marks))
    assert open_store(result.out).labels.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def test_cells_in_no_patch_are_told(tmp_path):
    folder = tmp_path / "ALL_IDB1"
    for name in ("im", "xyc", "other"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "im" / "Im001_1.jpg"), np.full((300, 300, 3), 200, np.uint8))
    (folder / "xyc" / "Im001_1.xyc").write_text("299\t299\n10\t10\n")
    (outcome,) = extract(ExtractSettings((folder,), tmp_path / "a.zarr")).outcomes
    assert "1 of 2 annotated cells lie in no patch (edge drop)" in outcome.warnings
    assert any("other/Im001_1.xyc is missing" in warning for warning in outcome.warnings)


def test_one_bad_annotation_fails_its_slide_alone(tmp_path):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((256, 256, 3), 200, np.uint8))
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "a.xyc").write_text("blasts\nnot a number\n")
    (tmp_path / "marks" / "b.xyc").write_text("blasts\n5 5\n")
    inputs = (tmp_path / "a.png", tmp_path / "b.png")
    result = extract(ExtractSettings(inputs, tmp_path / "a.zarr", annotations=tmp_path / "marks"))
    assert [(one.slide_id, one.status) for one in result.outcomes] == [("a", "failed"), ("b", "done")]
    assert "a.xyc, line 2" in result.outcomes[0].error
    assert verify_store(result.out) == []


def test_read_at_a_level_and_at_a_pixel_size(shared_data, tmp_path):
    slide = shared_data / "slides" / "aperio_cmu-1-small-region.svs"
    result = extract(ExtractSettings((slide,), tmp_path / "a.zarr", mpp=2.0, edge="pad"))
    record = open_store(result.out).slides[0]
    assert record.level is None
    assert record.downsample == pytest.approx(2.0 / 0.499)
    assert json.loads((result.out / "zarr.json").read_text())["attributes"]["patch_spec"]["mpp"] == 2.0
    with pytest.raises(UsageError, match="coarser"):
        extract(ExtractSettings((slide,), tmp_path / "b.zarr", mpp=0.1))
    assert not Path(tmp_path / "b.zarr").exists()


def test_a_part_whose_worker_died_after_it_was_complete_is_not_written_again(all_idb1, tmp_path):
    out = tmp_path / "a.zarr"
    plan = plan_extract(ExtractSettings((all_idb1,), out))
    create_store(out, plan.settings)
    task = max(plan.tasks, key=lambda one: len(one.jobs))
    first = extract_part(task)
    before = contents(out)
    assert extract_part(task) == first
    assert contents(out) == before

    lost = replace(task.jobs[0], slide_id="another")
    *known, untold = extract_part(replace(task, jobs=(*task.jobs, lost)))
    assert known == first
    assert (untold.slide_id, untold.status) == ("another", "failed")
    assert "--resume" in untold.error


def test_what_a_worker_that_died_left_behind_is_gone_when_the_run_ends(all_idb1, tmp_path, monkeypatch):
    def die_once(task):
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            PartWriter(out, task.part_id, task.settings, 10)  # and never says a word of it again
        return extract_part(task)

    out = tmp_path / "a.zarr"
    monkeypatch.setattr("wsi_patches.workflows.extract.EXTRACT", replace(EXTRACT, work=die_once))
    result = extract(ExtractSettings((all_idb1,), out, workers=1))
    assert (tmp_path / "died").exists()
    assert {outcome.status for outcome in result.outcomes} == {"done"}
    assert list(out.rglob("*.partial")) == []
    assert verify_store(out) == []
