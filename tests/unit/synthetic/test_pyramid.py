import numpy as np
import openslide
import pytest
import tifffile

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, paint_smear, write_slide

SIZE = Size(1501, 1203)
SETTINGS = SmearSettings.random(2, cell_diameter_px=48.0, noise_sigma=1.0)


def rms(one, other):
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))


@pytest.mark.parametrize("tile_px", [240, 256, 1024])
def test_openslide_reads_an_aperio_slide(tmp_path, tile_px):
    cells = write_slide(tmp_path / "s.svs", SIZE, SETTINGS, 0.5, tile_px=tile_px)
    pixels, truth = paint_smear(SIZE, SETTINGS)
    assert np.array_equal(cells.xy, truth.xy)
    with openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert slide.level_dimensions == ((1501, 1203), (375, 300))
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == 0.5
        assert float(slide.properties["openslide.objective-power"]) == 20
        assert slide.properties["openslide.level[0].tile-width"] == str(tile_px)
        level_0 = np.asarray(slide.read_region((0, 0), 0, SIZE).convert("RGB"))
        level_1 = np.asarray(slide.read_region((0, 0), 1, (375, 300)).convert("RGB"))
    assert rms(level_0, pixels) < 6
    means = pixels[:1200, :1500].reshape(300, 4, 375, 4, 3).mean(axis=(1, 3))
    assert rms(level_1, means) < 5
    assert [path.name for path in tmp_path.iterdir()] == ["s.svs"]


def test_tifffile_sees_levels_and_colours(tmp_path):
    write_slide(tmp_path / "s.tif", SIZE, SETTINGS, 0.25)
    with tifffile.TiffFile(tmp_path / "s.tif") as tiff:
        assert [page.shape for page in tiff.pages] == [(1203, 1501, 3), (300, 375, 3)]
        assert [page.subfiletype for page in tiff.pages] == [0, 1]
        x_resolution = tiff.pages[1].tags["XResolution"].value
        assert x_resolution[0] / x_resolution[1] == pytest.approx(1e4 / (0.25 * 1501 / 375), rel=1e-6)
        assert rms(tiff.pages[0].asarray(), paint_smear(SIZE, SETTINGS)[0]) < 6


def test_pixels_do_not_depend_on_threads(tmp_path):
    small = Size(700, 600)
    write_slide(tmp_path / "one.svs", small, SETTINGS, threads=1)
    write_slide(tmp_path / "two.svs", small, SETTINGS, threads=2)
    assert (tmp_path / "one.svs").read_bytes() == (tmp_path / "two.svs").read_bytes()


def test_a_small_slide_has_one_level(tmp_path):
    write_slide(tmp_path / "s.svs", Size(300, 90), SETTINGS)
    with openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert slide.level_dimensions == ((300, 90),)


def test_existing_files_and_wrong_values_are_refused(tmp_path):
    path = tmp_path / "s.svs"
    path.write_bytes(b"kept")
    with pytest.raises(OutputExists, match="exists"):
        write_slide(path, SIZE, SETTINGS)
    assert path.read_bytes() == b"kept"
    with pytest.raises(UsageError, match="multiple of 16"):
        write_slide(tmp_path / "t.svs", SIZE, SETTINGS, tile_px=250)
    with pytest.raises(UsageError, match="mpp"):
        write_slide(tmp_path / "t.svs", SIZE, SETTINGS, mpp=0.0)
