"""``preprocess``: what is derived lies beside the patches, is what the functions give, and is done once."""

import csv

import cv2
import numpy as np
import pytest
import tifffile
import zarr

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.stores import open_store, read_derived, verify_store
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess

PATCH, SIZE = 128, Size(768, 512)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A sharp smear, the same out of focus, and bare glass."""
    folder = tmp_path_factory.mktemp("slides")
    sharp, _ = paint_smear(SIZE, SmearSettings.random(8, cell_diameter_px=60.0))
    soft = cv2.GaussianBlur(sharp, (0, 0), 4)
    glass = np.clip(235 + np.random.default_rng(1).normal(0, 1.2, sharp.shape), 0, 255).astype(np.uint8)
    for name, pixels in (("glass", glass), ("sharp", sharp), ("soft", soft)):
        tifffile.imwrite(folder / f"{name}.tif", pixels, photometric="rgb")
    return folder


@pytest.fixture
def store(slides, tmp_path, monkeypatch):
    monkeypatch.setattr("wsi_patches.workflows.extract_plan.part_patches", lambda *_: 30)
    return extract(ExtractSettings((slides,), tmp_path / "a.zarr", patch_size=PATCH)).out


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_scores_are_those_of_the_patches(store):
    result = preprocess(PreprocessSettings(store, focus=True))
    opened = open_store(store)
    scores = opened.derived("focus", "score")
    assert scores == pytest.approx(fqpath(opened.read(np.arange(len(opened)))), abs=0.02)
    found = {slide.slide_id: slide for slide in result.slides}
    assert found["glass"].foreground == 0
    assert found["glass"].median_score is None
    assert found["soft"].median_score > found["sharp"].median_score
    assert found["soft"].is_soft
    assert not found["sharp"].is_soft
    assert verify_store(store) == []


def test_plain_zarr_reads_what_was_derived(store):
    preprocess(PreprocessSettings(store, sharpen=7.0))
    for _, part in zarr.open_group(store, mode="r")["parts"].groups():
        derived = part["derived"]
        assert set(derived.group_keys()) == {"focus", "foreground", "sharpened"}
        assert derived["focus"].attrs["status"] == "complete"
        assert derived["sharpened"].attrs["settings"]["threshold"] == 7.0
        assert derived["sharpened/images"].shape[0] == derived["sharpened/row"].shape[0]
        assert derived["focus/score"].shape[0] == part["images"].shape[0]


def test_soft_patches_of_the_foreground_are_sharpened_and_no_others(store):
    preprocess(PreprocessSettings(store, sharpen=7.0, keep="best"))
    asked = SharpenSettings(7.0, keep="best")
    for part in open_store(store).parts:
        derived = read_derived(part.folder, "sharpened")
        rows, radius = derived.column("row"), derived.column("radius")
        before = read_derived(part.folder, "focus").column("score")
        keep = read_derived(part.folder, "foreground").column("keep").astype(bool)
        assert rows.tolist() == np.flatnonzero(keep & (before > 7.0)).tolist()
        assert np.all(radius[~np.isin(np.arange(part.count), rows)] == 0)
        patches = np.empty((len(rows), PATCH, PATCH, 3), np.uint8)
        part.images.read(rows.tolist(), list(patches))
        images = np.empty_like(patches)
        derived.images().read(range(len(rows)), list(images))
        expected = sharpen_adaptively(patches, asked)
        assert np.array_equal(images, expected.images)
        assert np.array_equal(radius[rows], expected.radius_px)


def test_what_is_there_is_not_done_again_and_other_settings_are_refused(store):
    preprocess(PreprocessSettings(store, sharpen=7.0))
    before = files(store / "parts")
    preprocess(PreprocessSettings(store, sharpen=7.0))
    assert files(store / "parts") == before
    with pytest.raises(UsageError, match=r"another threshold.*--overwrite"):
        preprocess(PreprocessSettings(store, sharpen=6.5))
    assert files(store / "parts") == before
    preprocess(PreprocessSettings(store, sharpen=6.5, overwrite=True))
    part = open_store(store).parts[0]
    assert read_derived(part.folder, "sharpened").settings["threshold"] == 6.5


def test_a_killed_run_is_repeated_part_by_part(store):
    preprocess(PreprocessSettings(store, focus=True))
    first, second = (part.folder / "derived" / "focus" for part in open_store(store).parts[:2])
    (first / "zarr.json").unlink()  # as a kill before its last step leaves it
    with pytest.raises(StoreError, match="preprocess"):
        open_store(store).derived("focus", "score")
    before = files(second)
    preprocess(PreprocessSettings(store, focus=True))
    assert files(second) == before
    assert len(open_store(store).derived("focus", "score")) == len(open_store(store))


def test_pictures_and_a_table_for_people(store):
    result = preprocess(PreprocessSettings(store, focus=True))
    rows = list(csv.DictReader((result.pictures / "focus.csv").read_text().splitlines()))
    assert [row["slide_id"] for row in rows] == ["glass", "sharp", "soft"]
    pictures = {row["slide_id"]: cv2.imread(str(result.pictures / f"{row['slide_id']}.png")) for row in rows}
    assert all(picture.shape[1] == SIZE.width for picture in pictures.values())
    # Sharp patches are tinted blue and soft ones yellow: blue less red, in OpenCV's order of channels.
    slides = {name: picture[: SIZE.height].astype(int) for name, picture in pictures.items()}
    tint = {name: float(np.mean(picture[..., 0] - picture[..., 2])) for name, picture in slides.items()}
    assert tint["sharp"] > tint["soft"]


def test_nothing_asked_is_told(store):
    with pytest.raises(UsageError, match="nothing was asked"):
        PreprocessSettings(store)
    with pytest.raises(UsageError, match="auto"):
        PreprocessSettings(store, sharpen="always")
    with pytest.raises(UsageError, match="annotations"):
        preprocess(PreprocessSettings(store, sharpen="auto"))


def test_auto_finds_a_threshold_from_the_labels_and_keeps_the_curve(slides, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in ("sharp", "soft"):
        points = "\n".join(f"{x} {y}" for x in range(60, 768, 256) for y in range(60, 512, 128))
        (marks / f"{name}.xyc").write_text(f"blasts\n{points}\n")
    inputs = (slides / "sharp.tif", slides / "soft.tif")
    store = extract(ExtractSettings(inputs, tmp_path / "a.zarr", patch_size=PATCH, annotations=marks)).out
    result = preprocess(PreprocessSettings(store, sharpen="auto"))
    settings = read_derived(open_store(store).parts[0].folder, "sharpened").settings
    assert settings["threshold"] == result.threshold
    assert settings["tuning"]["accuracy"]["chosen"] == result.threshold
    assert len(settings["tuning"]["correlation"]["thresholds"]) == 30


@pytest.mark.parametrize("method", ["comprehensive", "reinhard", "macenko"])
def test_recoloured_patches_lie_beside_the_others(store, method):
    preprocess(PreprocessSettings(store, colour=method))
    for part in open_store(store).parts:
        images = read_derived(part.folder, "colour").images()
        assert len(images) == part.count
        assert np.array_equal(images.metadata.shape, part.images.metadata.shape)


def test_infer_warns_of_a_slide_out_of_focus(slides, tmp_path):
    reports = infer(InferSettings((slides / "sharp.tif", slides / "soft.tif"), tmp_path / "counts")).reports
    sharp, soft = reports
    assert sharp.patches_out_of_focus == 0
    assert not any("out of focus" in warning for warning in sharp.warnings)
    assert soft.patches_out_of_focus is None or any("out of focus" in warning for warning in soft.warnings)
