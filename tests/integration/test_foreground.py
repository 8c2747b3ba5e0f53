"""``extract --foreground auto``: glass is left out, cells stay, and a picture says so."""

import cv2
import numpy as np
import pytest
import tifffile

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store, verify_store
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.extract import ExtractSettings, extract, plan_extract

PATCH, WIDTH, HEIGHT = 128, 1536, 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A smear of which the right half is glass, glass alone, and a smear all over."""
    folder = tmp_path_factory.mktemp("slides")
    smear, cells = paint_smear(Size(WIDTH, HEIGHT), SmearSettings.random(4, cell_diameter_px=48.0))
    noise = np.random.default_rng(1).normal(0, 1.5, smear.shape)
    glass = np.clip(np.percentile(smear.reshape(-1, 3), 95, axis=0) + noise, 0, 255).astype(np.uint8)
    half = smear.copy()
    half[:, WIDTH // 2 :] = glass[:, WIDTH // 2 :]
    for name, pixels in (("full", smear), ("glass", glass), ("half", half)):
        tifffile.imwrite(folder / f"{name}.tif", pixels, tile=(PATCH, PATCH), compression="zlib", photometric="rgb")
    return folder, cells


def test_glass_is_left_out_and_no_white_cell_is_lost(folder, tmp_path, monkeypatch):
    slides, cells = folder
    monkeypatch.setattr("wsi_patches.workflows.extract_plan.part_patches", lambda *_: 16)
    result = extract(ExtractSettings((slides,), tmp_path / "a.zarr", patch_size=PATCH, foreground="auto"))
    outcomes = {one.slide_id: one for one in result.outcomes}
    total = (WIDTH // PATCH) * (HEIGHT // PATCH)
    assert outcomes["glass"].status == "failed"
    assert "no foreground" in outcomes["glass"].error
    assert outcomes["half"].status == outcomes["full"].status == "done"
    assert outcomes["half"].patches + outcomes["half"].blank == total
    assert outcomes["half"].blank >= 0.9 * total / 2
    assert verify_store(result.out) == []
    store = open_store(result.out)
    for name, inside in (("full", np.ones(len(cells), bool)), ("half", cells.x < WIDTH // 2 - 30)):
        row = [record.id for record in store.slides].index(name)
        kept = {tuple(xy) for xy in store.xy[store.slide_rows == row].tolist()}
        wanted = {
            (int(x) // PATCH * PATCH, int(y) // PATCH * PATCH)
            for x, y in zip(cells.x[inside], cells.y[inside], strict=True)
        }
        assert wanted <= kept


def test_a_picture_shows_what_was_kept(folder, tmp_path):
    slides, _ = folder
    result = extract(ExtractSettings((slides / "half.tif",), tmp_path / "a.zarr", patch_size=PATCH, foreground="auto"))
    picture = cv2.imread(str(result.previews / "half.png"))
    height, width = picture.shape[0], picture.shape[1]
    smear, glass = picture[: height // 2, : width // 3], picture[: height // 2, -width // 3 :]
    assert glass.mean() < smear.mean() - 30


def test_a_dry_run_writes_nothing_and_counts_what_would_be_kept(folder, tmp_path):
    slides, _ = folder
    asked = {"patch_size": PATCH, "foreground": "auto"}
    plan = plan_extract(ExtractSettings((slides,), tmp_path / "a.zarr", **asked))
    assert not (tmp_path / "a.zarr").exists()
    assert [outcome.slide_id for outcome in plan.failed] == ["glass"]
    assert plan.patches == extract(ExtractSettings((slides,), tmp_path / "a.zarr", **asked)).patches


def test_resuming_keeps_what_is_there_and_refuses_another_foreground(folder, tmp_path):
    slides, _ = folder
    asked = {"patch_size": PATCH, "foreground": "auto"}
    first = extract(ExtractSettings((slides / "half.tif",), tmp_path / "a.zarr", **asked))
    again = extract(ExtractSettings((slides / "half.tif",), tmp_path / "a.zarr", resume=True, **asked))
    assert again.patches == first.patches
    assert [(one.patches, one.blank) for one in again.outcomes] == [(one.patches, one.blank) for one in first.outcomes]
    with pytest.raises(UsageError, match=r"foreground auto \(asked: none\)"):
        extract(ExtractSettings((slides / "half.tif",), tmp_path / "a.zarr", resume=True, patch_size=PATCH))
