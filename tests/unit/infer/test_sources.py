"""Slides, stores and arrays go through one engine, with one answer."""

import numpy as np
import pytest

from tests.unit.infer.conftest import FakeBackend, said_of
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.infer.engine import Engine, EngineSettings
from wsi_patches.patch import GridSource, SlideRecord
from wsi_patches.slides import open_slide
from wsi_patches.stores import open_store
from wsi_patches.synthetic import SmearSettings, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract

SIDE = 64


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("painted") / "slide.tif"
    write_slide(path, Size(640, 448), SmearSettings.random(4), mpp=0.25, tile_px=SIDE)
    return path


def answers(source, readers):
    batches = list(Engine(FakeBackend(), EngineSettings(batch_size=24, readers=readers)).run(source))
    return np.concatenate([batch.outputs for batch in batches])


@pytest.mark.parametrize("codec", ["zstd", "jpeg"])
def test_a_store_is_answered_as_its_slide_is(slide_file, tmp_path, codec):
    store = open_store(
        extract(ExtractSettings((slide_file,), tmp_path / "s.zarr", patch_size=SIDE, codec=codec, edge="drop")).out
    )
    with open_slide(slide_file) as slide:
        grid = PatchGrid(slide.info.size, PatchSpec(SIDE, edge="drop"))
        source = GridSource(slide, grid, SlideRecord("s", "", "", (0, 0), ()))
        on_slide = answers(source, readers=2)
        expected = said_of(source.read(np.arange(len(source))))

    assert len(on_slide) == 70
    np.testing.assert_allclose(on_slide, expected, rtol=1e-5)
    assert np.array_equal(answers(store, readers=3), on_slide)
