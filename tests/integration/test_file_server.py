"""A file server that is gone for a while costs time and nothing else; simulated by the errors that it gives."""

import errno
import io
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.painted_tiffs import smooth_noise
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.locations import patience
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.report import CountsFile
from wsi_patches.slides import open_slide
from wsi_patches.stores import derived_settings, open_store, verify_store
from wsi_patches.workflows.extract import ExtractSettings, extract


@pytest.fixture
def slide(tmp_path):
    Image.fromarray(smooth_noise(200, 300)).save(tmp_path / "slide.png")
    return tmp_path / "slide.png"


@pytest.fixture
def pauses(monkeypatch):
    """No time passes while somebody is patient."""
    now = [0.0]
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: now.append(now[-1] + seconds))
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[-1])
    return now


def fail_at(monkeypatch, name, calls, number):
    """Let some of the calls of a function of the system fail, counted from 1; return the list of all."""
    made, real = [], getattr(os, name)

    def call(*arguments, **options):
        made.append(None)
        if len(made) in calls:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, call)
    return made


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
@pytest.mark.parametrize("call", [1, 3, 5, 9, 14])
def test_a_store_is_whole_whenever_its_server_is_gone(slide, tmp_path, monkeypatch, pauses, call, number):
    made = fail_at(monkeypatch, "fsync", range(call, call + 3), number)
    result = extract(ExtractSettings(inputs=(slide,), out=tmp_path / "out.zarr", patch_size=64, workers=1))
    assert len(made) > call + 2
    assert [one.status for one in result.outcomes] == [DONE]
    assert verify_store(tmp_path / "out.zarr") == []
    assert len(open_store(tmp_path / "out.zarr").parts) == 1
    assert len(list((tmp_path / "out.zarr" / "parts").iterdir())) == 2


@pytest.mark.parametrize("name", ["slide.png", "slide.tif"])
@pytest.mark.parametrize("call", [1, 2, 4, 6])
def test_a_slide_is_read_whenever_its_server_is_gone(tmp_path, monkeypatch, pauses, name, call):
    path, pixels, opened = tmp_path / name, smooth_noise(200, 300), []
    if name.endswith("tif"):
        tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64))
    else:
        Image.fromarray(pixels).save(path)
    real = io.open

    def fail(file, *arguments, **options):
        if str(file) == str(path):
            opened.append(file)
            if call <= len(opened) < call + 2:
                raise OSError(errno.ESTALE, "stale")
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", fail)
    monkeypatch.setattr("builtins.open", fail)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(Box(0, 0, 300, 200)), pixels)
    assert len(opened) > 2


def test_a_slide_whose_server_stays_away_is_an_error_of_that_slide(tmp_path, monkeypatch, pauses):
    def gone(_path, **_options):
        raise OSError(errno.ETIMEDOUT, "no answer")

    monkeypatch.setattr("pathlib.Path.stat", gone)
    with pytest.raises(SlideError, match=r"a\.tif cannot be read: no answer"):
        open_slide(tmp_path / "a.tif")
    assert patience.PATIENCE_S / 2 < pauses[-1] <= patience.PATIENCE_S


def test_a_disk_that_is_full_is_not_waited_for(slide, tmp_path, monkeypatch, pauses):
    fail_at(monkeypatch, "fsync", range(5, 10**6), errno.ENOSPC)
    result = extract(ExtractSettings(inputs=(slide,), out=tmp_path / "out.zarr", patch_size=64, workers=1))
    assert "no space is left" in result.outcomes[0].error
    assert pauses == [0.0]


def test_a_group_that_cannot_be_looked_at_is_not_taken_for_absent(slide, tmp_path, monkeypatch, pauses):
    extract(ExtractSettings(inputs=(slide,), out=tmp_path / "out.zarr", patch_size=64, workers=1))
    (part,) = open_store(tmp_path / "out.zarr").parts
    assert derived_settings(part.folder, "focus") is None

    def gone(_path):
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr("pathlib.Path.read_bytes", gone)
    with pytest.raises(OSError, match="gone"):
        derived_settings(part.folder, "focus")


def test_a_row_of_the_table_is_written_when_the_server_is_back(tmp_path, monkeypatch, pauses):
    class Stale:
        """A stream whose file the server does not know any more."""

        closed = False

        def write(self, _text):
            raise OSError(errno.ESTALE, "stale")

        def flush(self):
            pass

        def close(self):
            self.closed = True

    with CountsFile(tmp_path / "counts.csv", [], ["a", "b"]) as table:
        table._rows._stream.close()
        table._rows._stream = Stale()
        for name in ("b", "a"):
            table.add(SlideReport(name, name, DONE))
            assert f"\n{name}," in (tmp_path / "counts.csv").read_text()
    assert np.all([line[0] in "sab" for line in (tmp_path / "counts.csv").read_text().splitlines()])
