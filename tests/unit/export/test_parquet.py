"""Parquet shards, loaded by Hugging Face datasets and by pyarrow alone."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from wsi_patches.export.parquet import export_parquet

MEAN_JPEG, WORST_JPEG = 4, 24
"""Grey levels, of white noise, by quality 95 without subsampling; see test_imagefolder."""


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Return what loads a folder as a user would, away from the network and from the user's cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face datasets")
    return lambda folder, **options: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), **options)


def decoded(row):
    return np.array(Image.open(io.BytesIO(row["image"]["bytes"])))


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_datasets_loads_every_patch_with_its_splits_classes_and_pixels(make_job, patches, load, kind):
    job = make_job(kind)
    export_parquet(job)
    (job.out / "README.md").write_text("---\nlicense: other\n---\n# A card that says nothing of splits\n")
    found = load(job.out)
    assert {name: len(one) for name, one in found.items()} == {"train": 12, "test": 6}
    pixels = patches.read(np.arange(len(patches)))
    for split, data in found.items():
        assert data.features["label"].names == ["blast", "other", "none"]
        rows = [row for row in range(len(patches)) if patches.split_of(row) == split]
        for row, sample in zip(rows, data, strict=True):
            assert isinstance(sample["image"], Image.Image)
            off = np.abs(np.array(sample["image"]).astype(int) - pixels[row])
            assert off.max() == 0 if kind != "jpeg" else (off.mean() < MEAN_JPEG and off.max() < WORST_JPEG)
            assert data.features["label"].int2str(sample["label"]) == patches.label_of(row)
            known = patches.columns(row)
            del known["label"]
            assert {name: sample[name] for name in known} == known


def test_pyarrow_alone_reads_what_is_known_of_each_patch(make_job, patches):
    job = make_job()
    export_parquet(job)
    for split in patches.split_names:
        rows = [row for row in range(len(patches)) if patches.split_of(row) == split]
        table = pq.read_table(job.out / "data" / f"{split}-00000-of-00001.parquet").to_pylist()
        for row, found in zip(rows, table, strict=True):
            known = {**patches.columns(row), "label": int(patches.label[row])}
            assert {name: found[name] for name in known} == known
            assert found["image"]["path"] == f"{patches.name(row)}.png"
            assert np.array_equal(decoded(found), patches.read([row])[0])


def test_a_shard_holds_as_many_patches_as_asked_and_row_groups_fewer(make_job, monkeypatch, load):
    monkeypatch.setattr("wsi_patches.export.parquet.GROUP_PATCHES", 2)
    job = make_job(shard_patches=5)
    export_parquet(job)
    files = sorted((job.out / "data").iterdir())
    assert [file.name for file in files] == [
        *(f"test-{number:05d}-of-00002.parquet" for number in range(2)),
        *(f"train-{number:05d}-of-00003.parquet" for number in range(3)),
    ]
    first = pq.ParquetFile(files[0])
    assert [first.metadata.row_group(group).num_rows for group in range(first.num_row_groups)] == [2, 2, 1]
    assert load(job.out, split="train").num_rows == 12
    assert len(list(load(job.out, split="test", streaming=True))) == 6


def test_what_is_there_is_left_as_it_is(make_job):
    job = make_job(shard_patches=5)
    export_parquet(job)
    files = sorted((job.out / "data").iterdir())
    kept, gone = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(b"kept")
    files[1].unlink()
    export_parquet(job)
    assert sorted((job.out / "data").iterdir()) == files
    assert files[0].read_bytes() == b"kept" != kept
    assert files[1].read_bytes() == gone


def test_names_that_no_split_of_datasets_may_have(make_job, patches, load):
    patches.split_names = ("../fold 0", "..\\fold/0")
    job = make_job()
    export_parquet(job)
    assert {file.parent for file in job.out.rglob("*.parquet")} == {job.out / "data"}
    found = load(job.out)
    assert sorted(len(one) for one in found.values()) == [6, 12]
    assert {split for one in found.values() for split in one["split"]} == set(patches.split_names)


def test_without_splits_and_classes_all_is_one_split_and_no_label(make_job, patches, load):
    patches.split[:], patches.split_names = -1, ()
    patches.label[:], patches.label_names = -1, ()
    job = make_job()
    export_parquet(job)
    data = load(job.out)["train"]
    assert data["label"] == [None] * 18
    assert data["split"] == [None] * 18


def test_a_slide_whose_name_is_no_text_is_spelt_out(make_job, patches, monkeypatch):
    odd = type(patches.store.slides[0]).from_dict({**patches.store.slides[0].to_dict(), "id": "a\udcff"})
    monkeypatch.setattr(patches.store, "slides", [odd, *patches.store.slides[1:]])
    job = make_job()
    export_parquet(job)
    table = pq.read_table(job.out / "data" / "train-00000-of-00001.parquet")
    assert table["slide"][0].as_py() == "a\\udcff"
