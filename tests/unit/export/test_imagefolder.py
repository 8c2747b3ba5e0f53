"""Folders of classes, loaded by torchvision."""

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from wsi_patches.export.imagefolder import export_imagefolder

MEAN_JPEG, WORST_JPEG = 4, 24
"""Grey levels, of white noise, by quality 95 without subsampling; 3.2 and 19 were measured."""


def load(folder):
    """Return each picture and the name of its class, by the file's name."""
    data = ImageFolder(folder, allow_empty=True)
    paths = [path.rpartition("/")[2].rpartition(".")[0] for path, _ in data.samples]
    return {path: (np.array(image), data.classes[label]) for path, (image, label) in zip(paths, data, strict=True)}


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_torchvision_loads_every_patch_with_its_class_and_pixels(make_job, patches, kind):
    job = make_job(kind)
    assert "allow_empty=True" in export_imagefolder(job)  # no blast is in the split for tests
    pixels = patches.read(np.arange(len(patches)))
    for split in patches.split_names:
        rows = [row for row in range(len(patches)) if patches.split_of(row) == split]
        loaded = load(job.out / split)
        assert loaded.keys() == {patches.name(row) for row in rows}
        for row in rows:
            picture, label = loaded[patches.name(row)]
            assert label == patches.label_of(row)
            off = np.abs(picture.astype(int) - pixels[row])
            assert off.max() == 0 if kind != "jpeg" else (off.mean() < MEAN_JPEG and off.max() < WORST_JPEG)


def test_both_splits_number_the_classes_alike(make_job):
    job = make_job()
    export_imagefolder(job)
    found = [ImageFolder(job.out / split, allow_empty=True).class_to_idx for split in ("train", "test")]
    assert found[0] == found[1] == {"blast": 0, "none": 1, "other": 2}


def test_what_is_there_is_left_as_it_is(make_job):
    job = make_job()
    export_imagefolder(job)
    files = sorted(file for file in job.out.rglob("*") if file.is_file())
    assert len([file for file in files if file.suffix == ".png"]) == 18
    files[3].unlink()
    files[5].write_bytes(b"kept")
    export_imagefolder(job)
    assert sorted(file for file in job.out.rglob("*") if file.is_file()) == files
    assert files[5].read_bytes() == b"kept"
