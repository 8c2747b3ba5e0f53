"""Label, macro and thumbnail: listed, read by name alone, and written by nobody else."""

import json

import numpy as np
import openslide
import pytest
from click.testing import CliRunner
from PIL import Image

from wsi_patches.cli import main
from wsi_patches.errors import OutputExists, SlideError, UsageError
from wsi_patches.slides import associated_names, read_associated
from wsi_patches.workflows.inspect import describe, write_picture

NAMES = ("label", "macro", "thumbnail")


@pytest.fixture
def cmu(shared_data):
    return shared_data / "slides" / "aperio_cmu-1-small-region.svs"


def test_names_and_pixels_are_those_of_openslide(cmu):
    assert associated_names(cmu) == NAMES
    with openslide.OpenSlide(str(cmu)) as handle:
        for name in NAMES:
            expected = np.asarray(handle.associated_images[name].convert("RGB"))
            assert np.array_equal(read_associated(cmu, name), expected)


def test_a_dicom_folder_has_those_of_its_series(shared_data):
    folder = shared_data / "slides" / "dicom_wsi_leica_boxes"
    assert associated_names(folder) == ("thumbnail",)
    assert read_associated(folder, "thumbnail").shape == (16, 16, 3)


def test_a_photograph_has_none(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert associated_names(tmp_path / "a.png") == ()
    with pytest.raises(UsageError, match="none beside the slide"):
        read_associated(tmp_path / "a.png", "label")
    with pytest.raises(SlideError, match="does not exist"):
        associated_names(tmp_path / "b.png")


def test_an_unknown_name_lists_those_that_there_are(cmu):
    with pytest.raises(UsageError, match="label, macro, thumbnail"):
        read_associated(cmu, "barcode")


def test_one_is_written_by_name_and_never_over_another(cmu, tmp_path):
    out = tmp_path / "new" / "macro.png"
    write_picture(cmu, "macro", out)
    assert np.array_equal(np.asarray(Image.open(out)), read_associated(cmu, "macro"))
    assert [file.name for file in out.parent.iterdir()] == ["macro.png"]
    with pytest.raises(OutputExists):
        write_picture(cmu, "label", out)


def test_inspect_says_tiles_compression_notes_and_names_of_pictures(cmu, shared_data):
    facts = describe(cmu)
    assert facts["pictures"] == list(NAMES)
    assert facts["levels"] == ["2220 x 2967 px (1 : 1), tiles of 240 x 240 px, jpeg"]
    assert (facts["channels"], facts["notes"], facts["reader"]) == ("colours", [], "tifffile")
    zarr = describe(shared_data / "slides" / "ome_zarr_cmu-1-small-region.ome.zarr")
    assert (zarr["kind"], zarr["reader"], len(zarr["notes"])) == ("slide", "ome-zarr", 1)


def test_the_command_writes_what_is_asked_for_alone(cmu, tmp_path):
    runner = CliRunner()
    told = runner.invoke(main, ["inspect", str(cmu), "--json"])
    assert json.loads(told.stdout)["pictures"] == list(NAMES)
    assert runner.invoke(main, ["inspect", str(cmu), "--image", "macro"]).exit_code == 2
    assert runner.invoke(main, ["inspect", str(cmu), "--image", "macro", "-o", str(tmp_path / "m.png")]).exit_code == 0
    assert [file.name for file in tmp_path.iterdir()] == ["m.png"]
