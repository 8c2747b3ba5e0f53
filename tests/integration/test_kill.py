"""Killed at any moment and resumed, extract leaves what it would have written undisturbed, with every codec."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tifffile

from wsi_patches.stores import open_store, verify_store
from wsi_patches.workflows.output import is_run_file

TILE, ACROSS = 512, 12
MOMENTS = {
    "at the first file": ("", 0.0),
    "at the first part": ("parts/*", 0.0),
    "within the first shard": ("parts/*/images/c/**/*.partial", 0.02),
    "after the first shard": ("parts/*/images/c/**/0", 0.05),
    "at the first column": ("parts/*/slide", 0.0),
}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A slide of JPEG tiles that makes two parts, and two small ones that share one."""
    folder, rng = tmp_path_factory.mktemp("slides"), np.random.default_rng(5)
    tiles = (
        cv2.resize(rng.integers(0, 256, (64, 64, 3), np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
        for _ in range(ACROSS**2)
    )
    jpeg = {"compression": "jpeg", "photometric": "rgb", "tile": (TILE, TILE), "metadata": None}
    shape = (ACROSS * TILE, ACROSS * TILE, 3)
    tifffile.imwrite(folder / "large.tif", tiles, shape=shape, dtype=np.uint8, **jpeg)
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", rng.integers(0, 256, (TILE, 2 * TILE, 3), np.uint8), **jpeg)
    return folder


def command(slides, out, codec, *more):
    asked = ["--patch-size", TILE, "--codec", codec, "--workers", 2, "-q", *more]
    return [sys.executable, "-m", "wsi_patches", "extract", *map(str, [slides, "-o", out, *asked])]


def contents(folder):
    """Return what a store holds, but not the log of its runs, which differ."""
    files = (path for path in folder.rglob("*") if path.is_file() and not is_run_file(path.name))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def kill_when(process, out, pattern, then_wait_s):
    """Kill a process without warning some time after something appeared on disk, or let it end."""
    while process.poll() is None and not (any(out.glob(pattern)) if pattern else out.exists()):
        time.sleep(0.001)
    time.sleep(then_wait_s)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["zstd", "lz4", "none", "jpeg"])
def test_killed_at_any_moment_and_resumed_equals_undisturbed(slides, tmp_path, codec):
    whole = tmp_path / "whole.zarr"
    subprocess.run(command(slides, whole, codec), check=True)
    assert len(open_store(whole).parts) >= (1 if codec == "jpeg" else 2)  # a part holds four times as many tiles
    assert verify_store(whole) == []
    unfinished = 0
    for moment, (pattern, wait_s) in MOMENTS.items():
        out = tmp_path / "killed.zarr"
        kill_when(subprocess.Popen(command(slides, out, codec)), out, pattern, wait_s)
        if (out / "zarr.json").is_file():
            left = open_store(out)
            unfinished += bool(left.unfinished)
            assert not [problem for problem in verify_store(out) if "complete" not in problem], moment
        subprocess.run(command(slides, out, codec, "--resume"), check=True)
        same = contents(out) == contents(whole)  # what differs would be megabytes to print
        assert same, moment
        subprocess.run(["rm", "-r", out], check=True)
    assert unfinished, "no kill fell into the writing of a part: the moments are badly chosen"
