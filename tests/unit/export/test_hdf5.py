"""HDF5 files, read as CLAM and TRIDENT read them."""

import csv

import numpy as np
import pytest

from wsi_patches.errors import UsageError

h5py = pytest.importorskip("h5py", reason="needs the extra export")

from wsi_patches.export.hdf5 import check, export_hdf5  # noqa: E402 - which is only there with the extra


def clam_whole_slide_bag(path, index):
    """Read a patch as CLAM's Whole_Slide_Bag does."""
    with h5py.File(path, "r") as file:
        return len(file["imgs"]), file["imgs"][index], file["coords"][index]


def trident_read_coords(path):
    """Read places as TRIDENT's read_coords does."""
    with h5py.File(path, "r") as file:
        return dict(file["coords"].attrs), file["coords"][:]


def rows_of(patches, name):
    return [row for row in range(len(patches)) if patches.slide(row).id == name]


def test_each_slide_has_a_file_with_its_patches_equal_to_the_pixel(make_job, patches):
    job = make_job()
    export_hdf5(job)
    assert sorted(path.name for path in (job.out / "patches").iterdir()) == ["a.b.h5", "c.h5", "d~2.h5"]
    for name in ("a.b", "c", "d~2"):
        for at, row in enumerate(rows_of(patches, name)):
            count, image, coord = clam_whole_slide_bag(job.out / "patches" / f"{name}.h5", at)
            assert count == 6
            assert image.dtype == np.uint8
            assert np.array_equal(image, patches.read([row])[0])
            assert coord.tolist() == list(patches.box(row)[:2])


def test_the_attributes_are_those_of_clam_and_trident(make_job):
    job = make_job()
    export_hdf5(job)
    attributes, coords = trident_read_coords(job.out / "patches" / "c.h5")
    assert coords.dtype == np.int64
    assert {key: np.asarray(value).tolist() for key, value in attributes.items()} == {
        "patch_size": 64,
        "patch_level": 0,
        "downsample": [1, 1],
        "downsampled_level_dim": [192, 128],
        "level_dim": [192, 128],
        "name": "c",
        "patch_size_level0": 64,
        "overlap": 0,
        "level0_width": 192,
        "level0_height": 128,
    }


@pytest.mark.parametrize(
    ("mpp", "downsample", "level", "magnifications", "further"),
    [(0.2502, 4.0, 1, (40, 10), None), (0.5, 2.0, None, (20, 10), 2.0), (0.25, 6.0, None, (40, 40 / 6), 1.5)],
)
def test_resolution_is_said_by_magnification_and_level(
    make_job, patches, monkeypatch, mpp, downsample, level, magnifications, further
):
    levels = [[192, 128, 1.0], [48, 32, 4.0]]
    known = {"mpp": mpp, "downsample": downsample, "level": level, "levels": levels}
    slides = [type(one).from_dict({**one.to_dict(), **known}) for one in patches.store.slides]
    monkeypatch.setattr(patches.store, "slides", slides)
    job = make_job()
    export_hdf5(job)
    attributes, _ = trident_read_coords(job.out / "patches" / "c.h5")
    assert (attributes["level0_magnification"], attributes["target_magnification"]) == magnifications
    assert attributes["patch_size_level0"] == 64 * downsample
    assert attributes["patch_level"] == (0 if downsample == 2 else 1)
    assert attributes.get("custom_downsample") == further


def test_labels_splits_and_counts_stand_beside_with_what_they_mean(make_job, patches):
    job = make_job()
    export_hdf5(job)
    rows = rows_of(patches, "a.b")
    with h5py.File(job.out / "patches" / "a.b.h5") as file:
        assert file["labels"][:].tolist() == patches.label[rows].tolist()
        assert list(file["labels"].attrs["names"]) == ["blast", "other", "none"]
        assert file["splits"][:].tolist() == [0] * 6
        assert list(file["splits"].attrs["names"]) == ["train", "test"]
        assert np.array_equal(file["counts"][:], patches.counts[rows])
        assert file["index"][:].tolist() == patches.index[rows].tolist()
        assert all(file[name].maxshape[0] is None for name in ("coords", "imgs", "labels"))
    with (job.out / "slides.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["slide_id"], row["split"], row["patches"]) for row in table] == [
        ("a.b", "train", "6"),
        ("c", "test", "6"),
        ("d~2", "train", "6"),
    ]


def test_a_slide_in_several_splits_has_none_in_the_table(make_job, patches):
    patches.split[0] = 1
    job = make_job()
    export_hdf5(job)
    with (job.out / "slides.csv").open(newline="") as stream:
        assert [row["split"] for row in csv.DictReader(stream)] == ["", "test", "train"]


def test_features_of_the_store_instead_of_pixels(make_job, patches, described):
    patches.store, vectors = described
    job = make_job(features="made")
    check(job)
    export_hdf5(job)
    for name in ("a.b", "c", "d~2"):
        with h5py.File(job.out / "h5_files" / f"{name}.h5") as file:  # as CLAM's Generic_MIL_Dataset reads it
            assert np.array_equal(file["features"][:], vectors[rows_of(patches, name)])
            assert len(file["coords"][:]) == 6
            assert "imgs" not in file


def test_features_of_a_slide_in_several_parts_lie_in_one_file(make_job, patches, described, monkeypatch):
    patches.store, vectors = described
    monkeypatch.setattr(patches.store, "slide_rows", np.zeros(18, np.int64))
    job = make_job(features="made")
    export_hdf5(job)
    (path,) = (job.out / "h5_files").iterdir()
    with h5py.File(path) as file:
        assert np.array_equal(file["features"][:], vectors)


def test_features_that_the_store_has_not_are_refused(make_job):
    with pytest.raises(UsageError, match="features/nobody; run wsi-patches probe"):
        check(make_job(features="nobody"))
    check(make_job())


def test_what_is_there_is_left_as_it_is(make_job):
    job = make_job()
    export_hdf5(job)
    files = sorted((job.out / "patches").iterdir())
    files[0].write_bytes(b"kept")
    files[1].unlink()
    export_hdf5(job)
    assert sorted((job.out / "patches").iterdir()) == files
    assert files[0].read_bytes() == b"kept"
    assert clam_whole_slide_bag(files[1], 0)[0] == 6


def test_names_that_would_lead_out_of_the_output_stay_in_it(make_job, patches, monkeypatch):
    ids = ("../../a", "a/../..", "b\udcff")
    records = zip(patches.store.slides, ids, strict=True)
    monkeypatch.setattr(
        patches.store, "slides", [type(one).from_dict({**one.to_dict(), "id": id}) for one, id in records]
    )
    job = make_job()
    before = set(job.out.parent.iterdir())
    export_hdf5(job)
    assert len(list((job.out / "patches").glob("*.h5"))) == 3
    assert set(job.out.parent.iterdir()) == before
