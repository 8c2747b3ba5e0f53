"""Stores are imported and merged into an object store, and not removed from there."""

import cv2
import numpy as np
from click.testing import CliRunner

from wsi_patches.cli import main
from wsi_patches.stores import open_store, verify_store
from wsi_patches.stores.splits import read_store_split


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def folder_of(folder, names):
    for split in ("train", "test"):
        for number, name in enumerate(names):
            (folder / split / f"class {number % 2}").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(folder / split / f"class {number % 2}" / f"{split}{name}.png"), np.full((32, 32, 3), number)
            )
    return folder


def test_what_is_imported_and_merged_there_is_what_is_here(tmp_path, s3_bucket):
    one, two = folder_of(tmp_path / "one", "abc"), folder_of(tmp_path / "two", "xyz")
    for folder in (one, two):
        run("import", folder, "-o", s3_bucket / f"{folder.name}.zarr", "-q")
        run("import", folder, "-o", tmp_path / f"{folder.name}.zarr", "-q")
    run("import", one, "-o", s3_bucket / "one.zarr", "--resume", "-q")
    run("merge", s3_bucket / "one.zarr", s3_bucket / "two.zarr", "-o", s3_bucket / "both.zarr", "-q")
    run("merge", tmp_path / "one.zarr", tmp_path / "two.zarr", "-o", tmp_path / "both.zarr", "-q")
    run("merge", s3_bucket / "one.zarr", s3_bucket / "two.zarr", "-o", tmp_path / "fetched.zarr", "-q")
    here = open_store(tmp_path / "both.zarr")
    for there in map(open_store, (s3_bucket / "both.zarr", tmp_path / "fetched.zarr")):
        assert verify_store(there.path) == []
        assert [record.id for record in there.slides] == [record.id for record in here.slides]
        assert np.array_equal(there.read(np.arange(12)), here.read(np.arange(12)))
        assert np.array_equal(read_store_split(there), read_store_split(here))
    assert "object store" in run("remove", s3_bucket / "both.zarr", "trainx", code=2)
    assert len(open_store(s3_bucket / "both.zarr")) == 12
