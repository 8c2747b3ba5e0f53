"""What each exported format's own library loads: some patches, by slide and index, with their pixels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

Loaded = Iterator[tuple[str, int, np.ndarray]]
"""The slide's id, the patch's index in its grid, and uint8 RGB pixels."""


def named(path: Path) -> tuple[str, int, np.ndarray]:
    """Load a picture that is called ``SLIDE_INDEX``."""
    slide, _, index = path.stem.rpartition("_")
    return slide, int(index), np.array(Image.open(path))


def imagefolder(out: Path, some: int) -> Loaded:
    from torchvision.datasets import ImageFolder

    data = ImageFolder(out)
    for at in evenly(len(data), some):
        slide, index, _ = named(Path(data.samples[at][0]))
        yield slide, index, np.array(data[at][0])


def plain_csv(out: Path, some: int) -> Loaded:
    with (out / "patches.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for at in evenly(len(rows), some):
        yield rows[at]["slide"], int(rows[at]["index"]), np.array(Image.open(out / rows[at]["file"]))


def web(out: Path, some: int) -> Loaded:
    import webdataset

    shards = sorted(map(str, out.glob("*.tar")))
    for sample in islice(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"), some):
        picture = next(value for name, value in sample.items() if name in ("png", "jpg", "webp"))
        yield sample["json"]["slide"], sample["json"]["index"], np.array(picture)


def hugging_face(out: Path, some: int) -> Loaded:
    import datasets

    for row in islice(datasets.load_dataset(str(out), streaming=True)["train"], some):
        yield row["slide"], row["index"], np.array(row["image"])


def clam(out: Path, some: int) -> Loaded:
    import h5py

    files = sorted((out / "patches").iterdir())
    for at in evenly(len(files), some):
        with h5py.File(files[at], "r") as file:
            for index, image in islice(zip(file["index"][:], file["imgs"], strict=True), max(1, some // len(files))):
                yield files[at].stem, int(index), image


def coco(out: Path, some: int) -> Loaded:
    from torchvision.datasets import CocoDetection

    data = CocoDetection(str(out / "images"), str(out / "annotations" / "instances_all.json"))
    for at in evenly(len(data), some):
        patch = data.coco.loadImgs(data.ids[at])[0]["patch"]
        picture, boxes = data[at]
        assert all(0 <= one["bbox"][0] < picture.width for one in boxes)
        yield patch["slide"], patch["index"], np.array(picture)


def yolo(out: Path, some: int) -> Loaded:
    told = yaml.safe_load((out / "data.yaml").read_text())
    files = sorted((out / told["train"]).iterdir())
    for at in evenly(len(files), some):
        lines = (out / "labels" / f"{files[at].stem}.txt").read_text().split("\n")
        assert all(0 <= float(word) <= 1 for line in lines for word in line.split()[1:])
        yield named(files[at])


def all_idb(out: Path, some: int) -> Loaded:
    (table,) = out.glob("patches_*/*.csv")
    with table.open(newline="") as stream:
        names = [row["Filename"] for row in csv.DictReader(stream)]
    for at in evenly(len(names), some):
        slide, _, number = Path(names[at]).stem.rpartition("_patch_")
        yield slide, int(number) - 1, np.array(Image.open(table.parent / names[at]))


def evenly(count: int, some: int) -> list[int]:
    """Return at most so many positions, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, some)).astype(int)).tolist()


LOADERS: dict[str, tuple[str, Callable[[Path, int], Loaded]]] = {
    "imagefolder": ("torchvision ImageFolder", imagefolder),
    "csv": ("csv, Pillow", plain_csv),
    "webdataset": ("webdataset", web),
    "parquet": ("datasets", hugging_face),
    "coco": ("torchvision CocoDetection, pycocotools", coco),
    "yolo": ("PyYAML, Pillow", yolo),
    "hdf5": ("h5py, as CLAM reads it", clam),
    "all-idb": ("csv, Pillow", all_idb),
}


def largest_difference(out: Path, name: str, store: Path, some: int) -> dict[str, float]:
    """Load some patches and say how far they are from the store's: how many, the largest difference, the mean one."""
    from wsi_patches.stores import open_store

    source = open_store(store)
    keys = zip(source.slide_rows.tolist(), source.grid_index.tolist(), strict=True)
    at = {(source.slides[row].id, index): position for position, (row, index) in enumerate(keys)}
    loaded, largest, total = 0, 0, 0.0
    for slide, index, pixels in LOADERS[name][1](out, some):
        off = np.abs(pixels.astype(int) - source.read([at[slide, index]])[0])
        loaded, largest, total = loaded + 1, max(largest, int(off.max())), total + float(off.mean())
    return {"loaded": loaded, "largest": largest, "mean": total / max(1, loaded)}


if __name__ == "__main__":
    import sys

    print(json.dumps(largest_difference(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
