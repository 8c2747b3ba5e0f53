"""`merge`: parts as they were, byte for byte; what does not fit is refused with the reason."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from wsi_patches.cli.main import main
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.stores import merge as store_merge
from wsi_patches.stores import open_store, verify_store
from wsi_patches.stores.splits import write_store_split
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.merge_stores import MergeSettings, merge
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess
from wsi_patches.workflows.split import SplitSettings, split

SIDE = 64


def make_store(folder, names, out, **options):
    folder.mkdir(exist_ok=True)
    for name in names:
        seed = sum(map(ord, name))
        cv2.imwrite(str(folder / f"{name}.png"), np.random.default_rng(seed).integers(0, 256, (130, 190, 3), np.uint8))
        (folder / f"{name}.xyc").write_text("blasts\n20 20\n70 30\nnormal\n150 90\n")
    slides = tuple(folder / f"{name}.png" for name in names)
    wish = {"annotations": folder, "patch_size": SIDE, "fsync": False, "workers": 1, **options}
    return extract(ExtractSettings(slides, folder / out, **wish)).out


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two stores with focus scores, one of two parts, one of another codec."""
    folder = tmp_path_factory.mktemp("stores")
    one = make_store(folder / "one", "ab", "a.zarr", foreground="auto")
    make_store(folder / "one", "c", "a.zarr", resume=True, foreground="auto")
    two = make_store(folder / "two", "de", "b.zarr", codec="lz4", foreground="auto")
    for store in (one, two):
        preprocess(PreprocessSettings(store, focus=True, workers=1, fsync=False))
    preprocess(PreprocessSettings(one, focus=True, sharpen=1.0, workers=1, fsync=False))
    write_store_split(open_store(one), ["train"] * len(open_store(one)), {"by": "test"})
    write_store_split(open_store(two), ["test"] * len(open_store(two)), {"by": "test"})
    return one, two


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_part_is_what_it_was(stores, tmp_path):
    result = merge(MergeSettings(stores, tmp_path / "m.zarr", workers=2))
    merged, parts = open_store(tmp_path / "m.zarr"), [part for store in stores for part in open_store(store).parts]
    assert verify_store(merged.path) == []
    assert [part.id for part in merged.parts] == sorted(part.id for part in parts)
    for part in parts:
        kept = files_of(part.folder)
        expected = {name: kept[name] for name in kept if not name.startswith(("derived/sharpened", "derived/split"))}
        assert files_of(merged.path / "parts" / part.id) == expected
    assert (result.patches, result.slides) == (sum(part.count for part in parts), 5)
    assert result.derived == ("focus", "foreground")
    assert result.left_out == {
        "sharpened": f"{stores[1]} has not got it for all of its patches",
        "split": "it was made with different settings",
    }
    assert {path.stem for path in (merged.path / "foreground").glob("*.png")} == set("abcde")
    preprocess(PreprocessSettings(merged.path, focus=True, workers=1))
    split(SplitSettings(merged.path, tmp_path / "split", shares={"train": 0.5, "test": 0.5}, by="slide", copies=False))


def test_shared_ids_are_refused_or_get_a_prefix(stores, tmp_path):
    other = make_store(tmp_path / "other", "bx", "c.zarr", foreground="auto")
    with pytest.raises(UsageError, match=r"both have slides b: .*--prefix"):
        merge(MergeSettings((*stores, other), tmp_path / "m.zarr"))
    assert not (tmp_path / "m.zarr").exists()
    merge(MergeSettings((*stores, other), tmp_path / "m.zarr", prefix=True))
    merged = open_store(tmp_path / "m.zarr")
    assert {one.id for one in merged.slides} == {"a_a", "a_b", "a_c", "b_d", "b_e", "c_b", "c_x"}
    assert verify_store(merged.path) == []
    assert {path.stem for path in (merged.path / "foreground").glob("*.png")} == {one.id for one in merged.slides}
    first = open_store(stores[0])
    assert np.array_equal(merged.read(merged.positions_of("a_b")), first.read(first.positions_of("b")))
    assert np.array_equal(merged.cells("a_b").xy, first.cells("b").xy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 32}, r"size_px 64 \(c\.zarr: 32\)"),
        ({"overlap": 0.25}, "stride_px"),
        ({"tolerance": 5}, r"tolerance_px 0 \(c\.zarr: 5\)"),
        ({"foreground": "none"}, r"foreground auto \(c\.zarr: none\)"),
    ],
)
def test_what_does_not_fit_is_named(stores, tmp_path, options, message):
    other = make_store(tmp_path / "other", "x", "c.zarr", **{"foreground": "auto", **options})
    with pytest.raises(UsageError, match=message):
        merge(MergeSettings((*stores, other), tmp_path / "m.zarr"))
    assert not (tmp_path / "m.zarr").exists()


def test_tiles_as_they_are_stay_so(tmp_path):
    rng, jpeg = np.random.default_rng(1), {"compression": "jpeg", "photometric": "rgb", "tile": (SIDE, SIDE)}
    for name in "ab":
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / f"{name}.tif", rng.integers(0, 256, (128, 128, 3), np.uint8), **jpeg)
        extract(ExtractSettings((tmp_path / name,), tmp_path / f"{name}.zarr", patch_size=SIDE, codec="jpeg"))
    made = (tmp_path / "a.zarr", tmp_path / "b.zarr")
    merge(MergeSettings(made, tmp_path / "m.zarr"))
    assert verify_store(tmp_path / "m.zarr") == []
    merged = open_store(tmp_path / "m.zarr")
    assert np.array_equal(
        merged.read(np.arange(8)), np.concatenate([open_store(one).read(np.arange(4)) for one in made])
    )


def test_wrong_usage_is_refused(stores, tmp_path):
    with pytest.raises(UsageError, match="two stores or more"):
        MergeSettings(stores[:1], tmp_path / "m.zarr")
    with pytest.raises(UsageError, match="named twice"):
        MergeSettings((*stores, stores[0]), tmp_path / "m.zarr")
    with pytest.raises(UsageError, match="one of the stores"):
        MergeSettings(stores, stores[1])


def test_an_unfinished_store_is_refused(stores, tmp_path):
    other = make_store(tmp_path / "other", "x", "c.zarr", foreground="auto")
    (next((other / "parts").glob("x.*")) / "zarr.json").unlink()
    with pytest.raises(UsageError, match="never completed"):
        merge(MergeSettings((*stores, other), tmp_path / "m.zarr"))


def test_stopped_and_gone_on_with_equals_undisturbed(stores, tmp_path, monkeypatch):
    merge(MergeSettings(stores, tmp_path / "whole.zarr"))
    real = store_merge.copy_tree

    def fails_at_the_second_part(source, target):
        if source.parts[-2].startswith(("b.", "c.", "d.")):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(store_merge, "copy_tree", fails_at_the_second_part)
    settings = MergeSettings(stores, tmp_path / "m.zarr", workers=1)
    with pytest.raises(StoreError, match="cannot be copied"):
        merge(settings)
    assert 0 < len(open_store(tmp_path / "m.zarr").parts) < 3
    monkeypatch.undo()
    merge(MergeSettings(stores, tmp_path / "m.zarr", resume=True))
    assert files_of(tmp_path / "m.zarr") == files_of(tmp_path / "whole.zarr")
    with pytest.raises(UsageError, match="no merge of these stores"):
        merge(
            MergeSettings(
                (stores[0], make_store(tmp_path / "x", "x", "c.zarr", foreground="auto")),
                tmp_path / "m.zarr",
                resume=True,
            )
        )


def test_the_command_says_what_was_left_out(stores, tmp_path):
    run = CliRunner().invoke(main, ["merge", *map(str, stores), "-o", str(tmp_path / "m.zarr")])
    assert run.exit_code == 0
    assert "left out: split: it was made with different settings" in run.stdout
    run = CliRunner().invoke(
        main, ["merge", *map(str, stores), "-o", str(tmp_path / "m.zarr"), "--overwrite", "--json"]
    )
    assert json.loads(run.stdout)["derived"] == ["focus", "foreground"]
