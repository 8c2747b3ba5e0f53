"""The commands on a real S3 server give what they give on this machine."""

import csv
import io
import json
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.painted_tiffs import smooth_noise, write_jpeg_tiff
from wsi_patches.cli import main
from wsi_patches.locations import copy_tree
from wsi_patches.stores import open_store, verify_store
from wsi_patches.synthetic import all_idb1_fields, write_all_idb1


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def files_of(folder):
    return {str(path.relative_to(folder)): path for path in folder.sizes_below()}


def assert_same_store(here, there):
    here, there = open_store(here), open_store(there)
    assert [one.id for one in there.slides] == [one.id for one in here.slides]
    assert [one.fingerprint for one in there.slides] == [one.fingerprint for one in here.slides]
    assert [part.count for part in there.parts] == [part.count for part in here.parts]
    for slide in here.slides:
        mine, theirs = here.positions_of(slide.id), there.positions_of(slide.id)
        assert np.array_equal(there.grid_index[theirs], here.grid_index[mine])
        assert np.array_equal(there.labels[theirs], here.labels[mine])
        assert np.array_equal(there.read(theirs), here.read(mine))


@pytest.fixture
def slides(tmp_path):
    """A folder with a TIFF of tiles and, one below, a photograph."""
    folder = tmp_path / "slides"
    (folder / "below").mkdir(parents=True)
    write_jpeg_tiff(folder / "tiled.tif", smooth_noise(512, 640))
    Image.fromarray(smooth_noise(300, 400, seed=2)).save(folder / "below" / "photo.png")
    return folder


def test_a_folder_is_extracted_from_and_to_addresses(slides, s3_bucket, tmp_path):
    copy_tree(slides, s3_bucket / "in")
    run("extract", slides, "-o", tmp_path / "out.zarr", "--patch-size", 64, "--quiet")
    out = s3_bucket / "out.zarr"
    summary = json.loads(run("extract", s3_bucket / "in", "-o", out, "--patch-size", 64, "--json"))
    assert summary["out"] == str(out)
    assert_same_store(tmp_path / "out.zarr", out)
    assert "sound" in run("verify", out)
    assert "2" in run("inspect", out)
    assert "s3://" in run("inspect", s3_bucket / "in" / "tiled.tif")
    assert "folder of slides" in run("inspect", s3_bucket / "in")
    run("extract", s3_bucket / "in", "-o", out, "--patch-size", 64, code=2)
    run("extract", s3_bucket / "in", "-o", out, "--patch-size", 64, "--resume", "--quiet")
    assert_same_store(tmp_path / "out.zarr", out)
    run("extract", slides, "-o", out, "--patch-size", 32, "--overwrite", "--quiet")
    assert open_store(out).settings.spec.size_px == 32
    assert verify_store(out) == []


def test_an_all_idb1_folder_is_known_at_its_address(s3_bucket, tmp_path):
    write_all_idb1(tmp_path / "all", all_idb1_fields(2))
    copy_tree(tmp_path / "all", s3_bucket / "all")
    for folder, out in ((tmp_path / "all", tmp_path / "out.zarr"), (s3_bucket / "all", s3_bucket / "out.zarr")):
        run("extract", folder, "-o", out, "--quiet")
    assert_same_store(tmp_path / "out.zarr", s3_bucket / "out.zarr")
    store = open_store(s3_bucket / "out.zarr")
    assert store.labels.sum() > 0
    assert store.settings.rule.tolerance_px == 5


def test_a_stores_patches_are_preprocessed_where_they_lie(slides, s3_bucket, tmp_path):
    for out in (tmp_path / "out.zarr", s3_bucket / "out.zarr"):
        run("extract", slides, "-o", out, "--patch-size", 64, "--quiet")
        run("preprocess", out, "--focus", "--quiet")
    here, there = open_store(tmp_path / "out.zarr"), open_store(s3_bucket / "out.zarr")
    assert np.array_equal(there.derived("focus", "score"), here.derived("focus", "score"))
    assert verify_store(s3_bucket / "out.zarr") == []
    run("convert", s3_bucket / "out.zarr", "-o", s3_bucket / "plain.zarr", "--codec", "lz4", "--quiet")
    assert verify_store(s3_bucket / "plain.zarr") == []


def rows_of(text):
    rows = list(csv.DictReader(io.StringIO(text)))
    return [{name: value for name, value in row.items() if name != "path"} for row in rows]


def test_slides_are_counted_from_and_to_addresses(slides, s3_bucket, tmp_path):
    copy_tree(slides, s3_bucket / "in")
    run("infer", slides, "-o", tmp_path / "counts", "--quiet")
    run("infer", s3_bucket / "in", "-o", s3_bucket / "counts", "--quiet")
    here, there = tmp_path / "counts" / "counts.csv", s3_bucket / "counts" / "counts.csv"
    assert rows_of(there.read_text()) == rows_of(here.read_text())
    assert "photo/overlay.png" in files_of(s3_bucket / "counts")
    before = files_of(s3_bucket / "counts")["photo/report.json"].stat()
    run("infer", s3_bucket / "in", "-o", s3_bucket / "counts", "--resume", "--quiet")
    assert files_of(s3_bucket / "counts")["photo/report.json"].stat() == before
    assert rows_of(there.read_text()) == rows_of(here.read_text())


def test_what_cannot_be_is_said_in_a_sentence(slides, s3_bucket):
    assert "does not exist" in run("extract", s3_bucket / "none", "-o", s3_bucket / "out.zarr", code=2)
    assert "there is no bucket no-such-bucket" in run("extract", slides, "-o", "s3://no-such-bucket/out.zarr", code=2)
    told = run("extract", slides, "-o", "s3://AKIA:hush@bucket/out.zarr", code=2)
    assert "AWS_ACCESS_KEY_ID" in told
    assert "hush" not in told


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_nothing_is_lost_while_the_store_is_down(slides, s3_bucket, s3_proxy, tmp_path, seconds):
    """The server refuses and cuts connections from when the first part is being written."""
    copy_tree(slides, s3_bucket / "in")
    run("extract", slides, "-o", tmp_path / "out.zarr", "--patch-size", 64, "--quiet")
    downs, passed = [], s3_proxy.passed

    def go_down():
        if s3_proxy.passed < passed + 200_000:
            threading.Timer(0.01, go_down).start()
            return
        s3_proxy.down()
        downs.append(seconds)
        threading.Timer(seconds, s3_proxy.up).start()

    go_down()
    run("extract", s3_bucket / "in", "-o", s3_bucket / "out.zarr", "--patch-size", 64, "--quiet")
    assert downs == [seconds]
    assert_same_store(tmp_path / "out.zarr", s3_bucket / "out.zarr")
    assert verify_store(s3_bucket / "out.zarr") == []
    assert not any(name.startswith(".lock") for name in files_of(s3_bucket / "out.zarr"))
