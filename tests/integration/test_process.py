"""Slides in one go: each part passes from stage to stage, and what comes out is what the commands make one by one."""

import csv

import pytest

from wsi_patches.geometry import Size
from wsi_patches.stores import DerivedWriter, open_store
from wsi_patches.synthetic import SmearSettings, write_all_idb1, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer
from wsi_patches.workflows.leading import Watch
from wsi_patches.workflows.output import is_run_file
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess
from wsi_patches.workflows.process import process, tell_processed
from wsi_patches.workflows.run_log import read_events

MODEL = "painted-cells-lbp"


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    write_all_idb1(folder / "fields", 2)
    settings = SmearSettings.random(4, blasts=3, others=2, cell_diameter_px=48.0)
    write_slide(folder / "large.tif", Size(1500, 1100), settings)
    return (folder / "fields", folder / "large.tif")


@pytest.fixture
def many_parts(monkeypatch):
    """Let a slide take several parts, and two slides share one."""
    monkeypatch.setattr("wsi_patches.workflows.extract_plan.part_patches", lambda *_: 13)


def asked(slides, out, **how):
    store = out / "patches.zarr"
    return (
        ExtractSettings(slides, store, patch_size=256, workers=1, **how),
        PreprocessSettings(store, sharpen=6.0, workers=1),
        InferSettings(slides, out / "counts", model=MODEL, workers=1, **how),
    )


def files_of(folder):
    files = [file for file in folder.rglob("*") if file.is_file() and not is_run_file(file.name)]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def rows_of(counts):
    with counts.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def one_by_one(slides, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsi_patches.workflows.extract_plan.part_patches", lambda *_: 13)
        cut, improve, count = asked(slides, tmp_path_factory.mktemp("one_by_one"))
        extract(cut)
    preprocess(improve)
    return files_of(cut.out), rows_of(infer(count).counts)


def test_in_one_go_comes_out_what_the_commands_make_one_by_one(slides, one_by_one, many_parts, tmp_path):
    told = []
    done = process(*asked(slides, tmp_path), Watch(slide=told.append))
    assert len(open_store(done.extracted.out).parts) > 4
    assert files_of(done.extracted.out) == one_by_one[0]
    assert rows_of(done.counted.counts) == one_by_one[1]
    assert sorted(report.slide_id for report in told) == sorted(row["slide_id"] for row in one_by_one[1])


def test_the_stages_that_end_a_run_find_nothing_left_to_do(slides, many_parts, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("wsi_patches.preprocess.DerivedWriter", noting(made, DerivedWriter))
    done = process(*asked(slides, tmp_path))
    parts = open_store(done.extracted.out).parts
    assert sorted(made) == sorted((part.id, name) for part in parts for name in ("foreground", "focus", "sharpened"))
    slides_told = [event for event in read_events(tmp_path / "counts" / "run.jsonl") if event["event"] == "slide"]
    assert [event.get("kept", False) for event in slides_told] == 3 * [False] + 3 * [True]


def noting(made, writer):
    def write(part, name, settings, *, durable):
        made.append((part.name, name))
        return writer(part, name, settings, durable=durable)

    return write


def test_a_run_that_stopped_in_the_middle_goes_on(slides, one_by_one, many_parts, tmp_path):
    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        process(*asked(slides, tmp_path), Watch(slide=stop))
    done = process(*asked(slides, tmp_path, resume=True))
    assert files_of(done.extracted.out) == one_by_one[0]
    assert rows_of(done.counted.counts) == one_by_one[1]


def test_a_slide_that_fails_stops_no_other_and_is_named(slides, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(slides[1].read_bytes()[:2000])
    lines = []
    code = tell_processed(process(*asked((*slides, broken), tmp_path / "out")), lines.append)
    assert code == 1
    assert lines[0].startswith("slides: 3 of 4 done")
    assert any(line.startswith("failed: broken: ") for line in lines)
