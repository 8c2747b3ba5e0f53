"""The second set of DL4ALL, read off a folder: what of it cannot be read is left out, and said."""

import cv2
import numpy as np

from wsi_patches.train.source_set import SourceSettings, cut_source

SIDE = 32


def write_slides(folder, counts):
    for slide, count in counts.items():
        for number in range(count):
            image = np.random.default_rng([ord(slide), number]).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{slide}.png_crop_{number}.png"), image)


def test_a_slide_of_which_nothing_can_be_read_stops_no_other(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    write_slides(folder, {"a": 3, "b": 1, "c": 2})
    torn = folder / "b.png_crop_0.png"
    torn.write_bytes(torn.read_bytes()[:200])
    (folder / "d.png_crop_0.png").write_text("no picture")
    source = cut_source(SourceSettings(folder), SIDE, learns_slides=True, folder=tmp_path / "pixels")
    assert source.patches.class_names == ("a", "c")
    assert source.outputs == 2
    assert source.labels.tolist() == [0, 0, 0, 1, 1]
    assert source.counts.tolist() == [3, 2]
    for name in ("b.png_crop_0.png", "d.png_crop_0.png"):
        assert any(name in told for told in source.patches.left_out)


def test_labels_are_those_of_the_pictures_that_were_read(tmp_path):
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    write_slides(folder / "images", {"a": 2, "b": 1, "c": 2})
    names = sorted(path.name for path in (folder / "images").iterdir())
    rows = [f"{name},{number % 2},{int(number > 2)}" for number, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["image,x,y", *rows]) + "\n")
    torn = folder / "images" / "b.png_crop_0.png"
    torn.write_bytes(torn.read_bytes()[:200])
    source = cut_source(SourceSettings(folder), SIDE, learns_slides=False, folder=tmp_path / "pixels")
    assert source.labels.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert source.counts.tolist() == [2, 2]
    assert any("b.png_crop_0.png" in told for told in source.patches.left_out)
