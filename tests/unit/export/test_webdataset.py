"""Tar shards, loaded by the webdataset library."""

import gc
import json
import tarfile

import numpy as np
import pytest

from wsi_patches.export.webdataset import export_webdataset


def load(shards):
    webdataset = pytest.importorskip("webdataset", reason="needs the extra export")
    data = webdataset.WebDataset([str(shard) for shard in shards], shardshuffle=False, empty_check=False)
    samples = list(data.decode("rgb8"))
    del data
    gc.collect()  # the library leaves files open, so that their warning comes here, where it is let pass
    return samples


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_webdataset_loads_every_patch_with_all_that_is_known(make_job, patches, kind):
    job = make_job(kind, shard_patches=5)
    export_webdataset(job)
    shards = sorted(job.out.glob("*.tar"))
    assert [shard.name for shard in shards] == [
        "test-000000.tar", "test-000001.tar", "train-000000.tar", "train-000001.tar", "train-000002.tar",
    ]  # fmt: skip
    pixels = patches.read(np.arange(len(patches)))
    rows = {(patches.slide(row).id, int(patches.index[row])): row for row in range(len(patches))}
    for split in patches.split_names:
        for sample in load([shard for shard in shards if shard.name.startswith(split)]):
            row = rows.pop((sample["json"]["slide"], sample["json"]["index"]))
            assert sample["json"] == patches.columns(row)
            assert sample["json"]["split"] == split
            assert patches.label_names[sample["cls"]] == patches.label_of(row)
            off = np.abs(sample[job.image.suffix[1:]].astype(int) - pixels[row])
            assert off.max() == 0 if kind != "jpeg" else (off.mean() < 4 and off.max() < 24)
    assert not rows


def test_a_shard_that_is_there_stays_and_equal_exports_are_equal_bytes(make_job):
    job = make_job(shard_patches=5)
    export_webdataset(job)
    whole = {shard: shard.read_bytes() for shard in job.out.glob("*.tar")}
    first, second = sorted(whole)[:2]
    first.unlink()
    second.write_bytes(b"kept")
    export_webdataset(job)
    assert first.read_bytes() == whole[first]
    assert second.read_bytes() == b"kept"


def test_members_are_plain_files_whose_keys_have_no_dot(make_job):
    job = make_job()
    export_webdataset(job)
    with tarfile.open(job.out / "train-000000.tar") as tar:
        names = tar.getnames()
        assert all(member.isfile() and "/" not in member.name for member in tar)
        assert all(name.count(".") == 1 for name in names)
        assert json.load(tar.extractfile("a_b_000000.json"))["slide"] == "a.b"
