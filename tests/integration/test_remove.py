"""`remove`: the slide is gone, all others are as they were, and a kill leaves a sound store."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from wsi_patches.cli.main import main
from wsi_patches.errors import OutputBusy, StoreError, UsageError
from wsi_patches.stores import DerivedWriter, open_store, read_derived, verify_store
from wsi_patches.stores import remove as store_remove
from wsi_patches.stores.splits import read_store_split, write_store_split
from wsi_patches.workflows.export import ExportSettings, export
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess
from wsi_patches.workflows.remove import RemoveSettings, remove

SIDE = 64
MARKS = {
    "a": "blasts\n20 20\n70 30\nnormal\n150 90\n",
    "b": "blasts\n50 50\nnormal\n",
    "c": "blasts\n9 9\nnormal\n99 9\n",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three slides in one part, and a fourth in a part of its own, with everything that can be derived."""
    folder = tmp_path_factory.mktemp("slides")
    (folder / "marks").mkdir()
    for number, name in enumerate([*MARKS, "z"]):
        noise = np.random.default_rng(number).integers(0, 256, (130, 190, 3), np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.GaussianBlur(noise, (0, 0), 0.5 + number))
        (folder / "marks" / f"{name}.xyc").write_text(MARKS.get(name, "blasts\nnormal\n"))
    out = folder / "a.zarr"
    wish = {"out": out, "annotations": folder / "marks", "patch_size": SIDE, "foreground": "none", "fsync": False}
    extract(ExtractSettings(tuple(folder / f"{name}.png" for name in MARKS), **wish))
    extract(ExtractSettings((folder / "z.png",), resume=True, **wish))
    preprocess(PreprocessSettings(out, focus=True, sharpen=5.0, colour="reinhard", workers=1, fsync=False))
    store = open_store(out)
    assert len(store.parts) == 2
    write_store_split(store, ["train", "test"] * (len(store) // 2), {"by": "test"})
    for part in store.parts:
        writer = DerivedWriter(part.folder, "features/made", {"dim": 3})
        writer.column("vectors", np.random.default_rng(1).normal(size=(part.count, 3)), np.float32)
        writer.complete()
    return out


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "a.zarr")


def told(store):
    """Return all that is known of each patch, by its slide and index, and of each slide."""
    one = open_store(store)
    split, vectors = read_store_split(one), one.derived("features/made", "vectors")
    scores, pixels = one.derived("focus", "score"), one.read(np.arange(len(one)))
    patches = {}
    for part, start in zip(one.parts, one.offsets, strict=False):
        sharpened, coloured = (read_derived(part.folder, name) for name in ("sharpened", "colour"))
        shown = np.empty((part.count, SIDE, SIDE, 3), np.uint8)
        coloured.images().read(range(part.count), list(shown))
        rows = sharpened.column("row").tolist()
        sharp = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
        sharpened.images().read(range(len(rows)), list(sharp))
        for row in range(part.count):
            at = int(start) + row
            key = one.slides[one.slide_rows[at]].id, int(one.grid_index[at])
            of_sharp = sharp[rows.index(row)].tobytes() if row in rows else None
            values = (scores[at], split[at], vectors[at].tolist(), sharpened.column("radius")[row], of_sharp)
            patches[key] = (
                one.xy[at].tolist(),
                one.labels[at].tolist(),
                pixels[at].tobytes(),
                shown[row].tobytes(),
                *values,
            )
    slides = {record.id: (record, one.cells(record.id).to_arrow()) for record in one.slides}
    methods = {}
    for part in one.parts:
        fitted = read_derived(part.folder, "colour").settings["slides"]
        methods |= {record.id: method for record, method in zip(part.slides, fitted, strict=True)}
    return patches, slides, methods


def without(all_, gone):
    patches, slides, methods = all_
    kept = {key: value for key, value in patches.items() if key[0] not in gone}
    return kept, *({key: value for key, value in one.items() if key not in gone} for one in (slides, methods))


@pytest.mark.parametrize("gone", [("b",), ("a", "c"), ("z",), ("a", "b", "c"), ("a", "b", "c", "z")])
def test_the_others_are_as_they_were(store, gone):
    before = told(store)
    result = remove(RemoveSettings(store, gone, fsync=False))
    expected = without(before, gone)
    if len(gone) < 4:
        assert told(store) == expected
    assert len(open_store(store)) == result.left == len(expected[0])
    assert result.patches == len(before[0]) - result.left
    assert (result.dropped, result.rewritten) == {
        ("b",): (0, 1), ("a", "c"): (0, 1), ("z",): (1, 0), ("a", "b", "c"): (1, 0), ("a", "b", "c", "z"): (2, 0)
    }[gone]  # fmt: skip
    assert verify_store(store) == []
    assert not (store / ".removed").exists()
    for folder in ("focus",):
        assert {path.stem for path in (store / folder).glob("*.png")} == {"a", "b", "c", "z"} - set(gone)
        rows = (store / folder / "focus.csv").read_text().splitlines()[1:]
        assert {row.split(",")[0] for row in rows} == {"a", "b", "c", "z"} - set(gone)


def test_what_follows_goes_on_to_work(store, whole, tmp_path):
    remove(RemoveSettings(store, ("b",), fsync=False))
    remove(RemoveSettings(store, ("a",), fsync=False))
    assert export(ExportSettings(store, tmp_path / "out", "imagefolder")).patches == len(open_store(store))
    result = infer(InferSettings((store,), tmp_path / "counts", finder="classical"))
    assert [report.slide_id for report in result.reports] == ["c", "z"]
    preprocess(PreprocessSettings(store, focus=True, sharpen=5.0, colour="reinhard", workers=1))
    # The slide comes back by extracting it again.
    marks = whole.parent / "marks"
    again = ExtractSettings((whole.parent / "b.png",), store, annotations=marks, patch_size=SIDE, resume=True)
    extract(again)
    assert {one.id for one in open_store(store).slides} == {"b", "c", "z"}
    assert verify_store(store) == []


def test_what_would_go_is_said_and_nothing_changes(store):
    files = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    run = CliRunner().invoke(main, ["remove", str(store), "b", "--dry-run"])
    assert (run.exit_code, run.stdout) == (
        0,
        "would go: 1 slides, 9 patches\nparts:   0 dropped, 1 written anew\nleft:    27 patches\n",
    )
    run = CliRunner().invoke(main, ["remove", str(store), "z", "--dry-run", "--json"])
    assert json.loads(run.stdout) == {"slides": ["z"], "patches": 9, "dropped": 1, "rewritten": 0, "left": 27}
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == files


def test_an_unknown_slide_and_a_store_that_is_being_written_are_refused(store):
    before = told(store)
    with pytest.raises(UsageError, match="has no slide other; it has a, b, c, z"):
        remove(RemoveSettings(store, ("a", "other")))
    with lock_output(store, "extract", {}), pytest.raises(OutputBusy):
        remove(RemoveSettings(store, ("a",)))
    assert told(store) == before


class Killed(BaseException):
    """In place of a kill: nothing of ours catches it."""


STEPS = ("_copy_images", "create_group", "write_columns", "DerivedWriter", "write_json", "_move_aside", "remove_tree")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("gone", [("b",), ("b", "z")])
def test_killed_at_any_moment_each_part_is_before_or_after(store, monkeypatch, step, gone):
    before, after = told(store), without(told(store), gone)
    calls, real = 0, getattr(store_remove, step)
    while True:
        calls += 1
        left = calls

        def at_this_call(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **options)

        monkeypatch.setattr(store_remove, step, at_this_call)
        copy = shutil.copytree(store, store.with_name(f"{calls}.zarr"))
        try:
            remove(RemoveSettings(copy, gone, fsync=False))
            break
        except Killed:
            pass
        monkeypatch.setattr(store_remove, step, real)
        assert verify_store(copy) == []
        found = told(copy)[0]
        assert found in (before[0], after[0], without(before, ("b",))[0], without(before, ("z",))[0])
        remaining = tuple(name for name in gone if name in open_store(copy).row_of)
        if remaining:
            remove(RemoveSettings(copy, remaining, fsync=False))
        assert told(copy) == after
        shutil.rmtree(copy)
    assert calls > 1  # it was called at all


def test_a_rotten_patch_is_not_copied_as_if_it_were_sound(store):
    part = next(part for part in open_store(store).parts if len(part.slides) == 3)
    shard = next(path for path in (part.folder / "images" / "c").rglob("0") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="checksum"):
        remove(RemoveSettings(store, ("c",), fsync=False))
    assert {one.id for one in open_store(store).slides} == {"a", "b", "c", "z"}
