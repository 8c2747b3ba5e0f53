"""`import`: what was exported comes back equal; anybody's folders and tar files; what is broken is named."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from wsi_patches.cli.main import main
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.outcome import DONE, FAILED, PARTIAL
from wsi_patches.stores import open_store, verify_store
from wsi_patches.stores.splits import read_store_split
from wsi_patches.workflows.export import ExportSettings, export
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.import_patches import ImportSettings, import_patches
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess

MARKS = {
    "P1_a.b": "blasts\n20 20\n70 30\n64.4 63.6\nnormal\n150 90\n",
    "P2_c": "blasts\n100 100\nnormal\n33 44\n",
    "P3_d~2": "blasts\nnormal\n",
    "P4_e": "blasts\nnormal\n30 30\n",
}
SIDE = 64


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four annotated slides of 12 overlapping patches, with focus scores."""
    folder = tmp_path_factory.mktemp("slides")
    (folder / "marks").mkdir()
    for number, (name, marks) in enumerate(MARKS.items()):
        noise = np.random.default_rng(number).integers(0, 256, (140, 190, 3), np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.GaussianBlur(noise, (0, 0), 1 + number))
        (folder / "marks" / f"{name}.xyc").write_text(marks)
    settings = ExtractSettings(
        (folder,),
        folder / "a.zarr",
        annotations=folder / "marks",
        patch_size=SIDE,
        overlap=0.25,
        tolerance=3,
        group_pattern="(?P<patient>P[0-9])_",
        slide_mpp=0.25,
        workers=1,
        fsync=False,
    )
    out = extract(settings).out
    preprocess(PreprocessSettings(out, focus=True, workers=1, fsync=False))
    return open_store(out)


def exported(store, folder, kind="imagefolder", **options):
    options = {"split": {"train": 0.5, "test": 0.5}, **options}
    return export(ExportSettings(store.path, folder, kind, workers=2, **options)).out


def imported(folder, out, **options):
    return import_patches(ImportSettings(folder, out, workers=2, fsync=False, **options))


def by_place(store):
    """Return all positions in the order of the slides' ids and the grid's indices."""
    ids = [store.slides[row].id for row in store.slide_rows.tolist()]
    return np.array(sorted(range(len(store)), key=lambda at: (ids[at], store.grid_index[at])))


def assert_equal_stores(found, expected, positions=None, worst=0):
    """Everything that a patch and a slide are known by is equal; pixels up to ``worst`` grey levels."""
    one, other = by_place(found), by_place(expected) if positions is None else positions
    assert len(one) == len(other)
    assert found.settings == expected.settings
    off = np.abs(found.read(one).astype(int) - expected.read(other))
    assert off.max() <= worst
    assert np.array_equal(found.xy[one], expected.xy[other])
    assert np.array_equal(found.labels[one], expected.labels[other])
    assert np.array_equal(found.grid_index[one], expected.grid_index[other])
    assert np.array_equal(found.derived("focus", "score")[one], expected.derived("focus", "score")[other])
    known = {record.id: record for record in expected.slides}
    for record in found.slides:
        same = (
            "id",
            "fingerprint",
            "size",
            "levels",
            "mpp",
            "mpp_stated",
            "level",
            "downsample",
            "group",
            "group_kind",
        )
        more = ("unit", "label", "split", "licence", "annotated", "grid_total", "reader", "vendor", "attributes")
        for name in (*same, *more):
            assert getattr(record, name) == getattr(known[record.id], name), name
        assert np.array_equal(found.cells(record.id).xy, expected.cells(record.id).xy)
        assert np.array_equal(found.cells(record.id).class_index, expected.cells(record.id).class_index)
    assert verify_store(found.path) == []


@pytest.mark.parametrize("kind", ["imagefolder", "csv", "webdataset"])
@pytest.mark.parametrize("image", ["png", "webp"])
def test_what_was_exported_comes_back_equal(store, tmp_path, kind, image):
    folder = exported(store, tmp_path / "out", kind, image=image, shard_patches=5)
    result = imported(folder, tmp_path / "b.zarr")
    assert result.exported
    assert [one.status for one in result.outcomes] == [DONE] * 4
    back = open_store(result.out)
    assert_equal_stores(back, store)
    with (folder / "split.csv").open(newline="") as stream:
        dealt = {row["id"]: row["split"] for row in csv.DictReader(stream)}
    splits = read_store_split(back)
    assert {back.slides[row].id: str(split) for row, split in zip(back.slide_rows, splits, strict=True)} == dealt
    assert [record.blank for record in back.slides] == [0] * 4
    # Going round once more changes nothing either.
    again = imported(export(ExportSettings(back.path, tmp_path / "again", kind)).out, tmp_path / "c.zarr")
    assert_equal_stores(open_store(again.out), store)
    assert np.array_equal(read_store_split(open_store(again.out)), splits)


def test_jpeg_comes_back_within_its_stated_loss(store, tmp_path):
    folder = exported(store, tmp_path / "out", "webdataset", image="jpeg", quality=95)
    back = open_store(imported(folder, tmp_path / "b.zarr").out)
    assert_equal_stores(back, store, worst=24)


def test_a_selection_comes_back_as_one_and_says_so(store, tmp_path):
    folder = exported(store, tmp_path / "out", where="index >= 4 and x > 0", split="none")
    result = imported(folder, tmp_path / "b.zarr")
    back = open_store(result.out)
    kept = by_place(store)
    kept = kept[(store.grid_index[kept] >= 4) & (store.xy[kept, 0] > 0)]
    assert 0 < len(kept) < len(store)
    assert_equal_stores(back, store, kept)
    assert all("left out of the export" in one.warnings[0] for one in result.outcomes)
    with pytest.raises(OSError, match="no split"):
        read_store_split(back)


def test_preprocess_finds_the_focus_scores_in_their_place(store, tmp_path):
    back = open_store(imported(exported(store, tmp_path / "out"), tmp_path / "b.zarr").out)
    files = [part.folder / "derived" / "focus" / "zarr.json" for part in back.parts]
    before = [file.stat().st_mtime_ns for file in files]
    preprocess(PreprocessSettings(back.path, focus=True, workers=1))
    assert [file.stat().st_mtime_ns for file in files] == before


def folder_of_classes(folder, splits=("train", "val"), suffix=".png"):
    rng = np.random.default_rng(3)
    for split in splits:
        for label in ("blast", "normal cell"):
            (folder / split / label).mkdir(parents=True)
            for name in ("P1_x", "P2_x"):
                cv2.imwrite(
                    str(folder / split / label / f"{name}{suffix}"), rng.integers(0, 256, (48, 48, 3), np.uint8)
                )
    return folder


@pytest.mark.parametrize("splits", [("",), ("train", "val")])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_anybodys_folders_of_classes(tmp_path, splits, suffix):
    folder = folder_of_classes(tmp_path / "set", splits, suffix)
    (folder / splits[0] / "blast" / "notes.txt").write_text("no picture")
    result = imported(folder, tmp_path / "a.zarr", group_pattern="(?P<patient>P[0-9])", slide_mpp=0.5)
    back = open_store(result.out)
    assert verify_store(back.path) == []
    assert len(back) == len(back.slides) == 4 * len(splits)
    assert not result.exported
    assert "notes.txt" in result.notes[0]
    for position, row in enumerate(back.slide_rows.tolist()):
        record = back.slides[row]
        picture = cv2.imread(record.path)[:, :, ::-1]
        assert np.array_equal(back.read([position])[0], picture)
        assert record.path.split("/")[-2] == record.label
        assert (record.group, record.group_kind) == (record.path.split("/")[-1][:2], "patient")
        assert (record.size, record.mpp, record.unit, record.annotated) == ((48, 48), 0.5, "patch", False)
    assert len({record.id for record in back.slides}) == len(back.slides)
    if splits != ("",):
        told = dict(zip((back.slides[row].path for row in back.slide_rows), read_store_split(back), strict=True))
        assert all(split == ("train" if "/train/" in path else "validation") for path, split in told.items())
    # What comes of it goes out to the same folders.
    out = export(ExportSettings(back.path, tmp_path / "out", "imagefolder")).out
    assert {path.parent.name for path in out.rglob("*.png")} == {"blast", "normal cell"}


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def png(number, side=32):
    return cv2.imencode(".png", np.full((side, side, 3), number, np.uint8))[1].tobytes()


def test_anybodys_tar_files(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    train = [
        ("a/0001.png", png(1)),
        ("a/0001.cls", b"3"),
        ("../0002.left.png", png(2)),
        ("../0002.json", b'{"label": 0}'),
    ]
    write_tar(folder / "set-train-000000.tar", [*train, ("3.txt", b"a caption"), ("3.png", png(3))])
    write_tar(folder / "set-val-000000.tar", [("0001.png", png(4)), ("0001.cls", b"blast\n")])
    result = imported(folder, tmp_path / "a.zarr")
    back = open_store(result.out)
    values = {int(back.read([at])[0][0, 0, 0]): back.slides[row] for at, row in enumerate(back.slide_rows.tolist())}
    assert {value: (one.label, one.split) for value, one in values.items()} == {
        1: ("3", "train"), 2: ("0", "train"), 3: (None, "train"), 4: ("blast", "validation"),
    }  # fmt: skip
    assert verify_store(back.path) == []
    assert [one.name for one in tmp_path.iterdir() if one.name not in ("set", "a.zarr")] == []
    one = imported(folder / "set-val-000000.tar", tmp_path / "b.zarr")
    assert one.patches == 1


def test_the_webdataset_library_and_we_read_the_same(store, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="needs the extra export")
    folder = tmp_path / "set"
    folder.mkdir()
    with webdataset.TarWriter(str(folder / "train-000000.tar")) as writer:
        for number in range(5):
            pixels = np.full((32, 32, 3), number, np.uint8)
            writer.write({"__key__": f"sample{number}", "png": pixels, "cls": number % 2, "json": {"by": "us"}})
    back = open_store(imported(folder, tmp_path / "a.zarr").out)
    assert [back.slides[row].label for row in back.slide_rows] == ["0", "1", "0", "1", "0"]
    assert back.read(np.arange(5))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_broken_pictures_are_named_and_the_others_go_on(tmp_path):
    folder = folder_of_classes(tmp_path / "set", ("",))
    bad = folder / "blast" / "P1_x.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    cv2.imwrite(str(folder / "normal cell" / "P2_x.png"), np.zeros((48, 50, 3), np.uint8))
    run = CliRunner().invoke(
        main, ["import", str(folder), "-o", str(tmp_path / "a.zarr"), "--patch-size", "48", "--json"]
    )
    told = json.loads(run.stdout)
    assert (run.exit_code, told["patches"], told["exit_code"]) == (1, 2, 1)
    failed = {one["slide_id"]: one["error"] for one in told["slides"] if one["status"] == FAILED}
    assert failed.keys() == {"blast/P1_x.png", "normal cell/P2_x.png"}
    assert "blast/P1_x.png" in run.stderr
    assert "50 x 48 px" in failed["normal cell/P2_x.png"]
    assert verify_store(tmp_path / "a.zarr") == []
    # Mended, they are added; what is there stays.
    cv2.imwrite(str(bad), np.full((48, 48, 3), 7, np.uint8))
    parts = {part.id for part in open_store(tmp_path / "a.zarr").parts}
    result = imported(folder, tmp_path / "a.zarr", patch_size=48, resume=True)
    assert [one.slide_id for one in result.outcomes if one.status == FAILED] == ["normal cell/P2_x.png"]
    assert result.patches == 3
    assert parts < {part.id for part in open_store(tmp_path / "a.zarr").parts}
    assert verify_store(tmp_path / "a.zarr") == []


def test_a_broken_picture_of_an_export_is_an_unreadable_place(store, tmp_path):
    folder = exported(store, tmp_path / "out", "csv", split="none")
    bad = sorted((folder / "images" / "P2_c").iterdir())[5]
    bad.write_bytes(b"nothing")
    result = imported(folder, tmp_path / "a.zarr")
    assert {one.slide_id: one.status for one in result.outcomes} == {
        "P1_a.b": DONE, "P2_c": PARTIAL, "P3_d~2": DONE, "P4_e": DONE, f"images/P2_c/{bad.name}": FAILED,
    }  # fmt: skip
    back = open_store(result.out)
    assert back.unreadable["P2_c"] == {5}
    assert len(back) == len(store)
    assert verify_store(back.path) == []
    assert len(list(export(ExportSettings(back.path, tmp_path / "again", "csv")).out.rglob("*.png"))) == len(store) - 1
    kept = imported(folder, tmp_path / "a.zarr", resume=True)
    assert {one.status for one in kept.outcomes} == {DONE, PARTIAL}


def test_a_tar_that_is_cut_off_is_named_and_what_is_whole_of_it_is_kept(store, tmp_path):
    folder = exported(store, tmp_path / "out", "webdataset", split="none", shard_patches=100)
    shard = folder / "patches-000000.tar"
    content = shard.read_bytes()
    half = len(content) // 1024 * 512
    for cut in (half, half + 100, half + 300 * 512):
        shard.write_bytes(content[:cut])
        result = imported(folder, tmp_path / "a.zarr", overwrite=True)
        assert any(one.slide_id == shard.name and one.status == FAILED for one in result.outcomes)
        assert 0 < result.patches < len(store)
        assert verify_store(result.out) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "blast" / "inner").mkdir(), "holds folders"),
        (lambda folder: shutil.rmtree(folder / "blast") or shutil.rmtree(folder / "normal cell"), "no pictures"),
        (lambda folder: cv2.imwrite(str(folder / "blast" / "P1_x.png"), np.zeros((48, 50, 3))), "50 x 48 px"),
        (lambda folder: [one.write_bytes(b"x") for one in folder.rglob("*.png")], "can be read"),
        (lambda folder: shutil.rmtree(folder), "does not exist"),
    ],
)
def test_what_is_no_set_of_patches_is_refused_and_nothing_is_written(tmp_path, spoil, message):
    folder = folder_of_classes(tmp_path / "set", ("",))
    spoil(folder)
    with pytest.raises(UsageError, match=message):
        imported(folder, tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_options_that_contradict_what_is_there_are_refused(store, tmp_path):
    folder = exported(store, tmp_path / "out")
    with pytest.raises(UsageError, match="leave --patch-size out"):
        imported(folder, tmp_path / "a.zarr", patch_size=32)
    out = imported(folder, tmp_path / "a.zarr").out
    with pytest.raises(OutputExists):
        imported(folder, out)
    with pytest.raises(UsageError, match="other settings"):
        imported(folder_of_classes(tmp_path / "set"), out, resume=True)
    assert len(open_store(imported(folder_of_classes(tmp_path / "two"), out, overwrite=True).out)) == 8


def test_a_table_that_leads_out_of_its_folder_is_refused(store, tmp_path):
    folder = exported(store, tmp_path / "out", "csv")
    table = folder / "patches.csv"
    table.write_text(table.read_text().replace("images/P2_c/", "../P2_c/"))
    with pytest.raises(UsageError, match="inside of the folder"):
        imported(folder, tmp_path / "a.zarr")


def test_slides_that_the_export_does_not_name_and_places_that_appear_twice_are_refused(store, tmp_path):
    folder = exported(store, tmp_path / "out", "csv")
    table = folder / "patches.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join([*lines, lines[-1]]))
    with pytest.raises(UsageError, match="as another picture is"):
        imported(folder, tmp_path / "a.zarr")
    table.write_text("".join([*lines[:-1], lines[-1].replace(",P4_e,", ",other,")]))
    with pytest.raises(UsageError, match="'other', which the export does not name"):
        imported(folder, tmp_path / "a.zarr")


def test_killed_and_resumed_equals_undisturbed(tmp_path):
    folder, count = tmp_path / "set", 540  # a part holds 512
    for number in range(count):
        (folder / f"c{number % 2}").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(folder / f"c{number % 2}" / f"{number:04d}.png"), np.full((256, 256, 3), number % 256, np.uint8)
        )
    out = tmp_path / "a.zarr"
    command = [sys.executable, "-m", "wsi_patches", "import", str(folder), "-o", str(out), "--workers", "1", "-q"]
    process = subprocess.Popen(command)
    while process.poll() is None and not list(out.glob("parts/*[0-9a-f]/zarr.json")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert 0 < len(open_store(out)) < count
    subprocess.run([*command, "--resume"], check=True)
    whole, back = open_store(imported(folder, tmp_path / "b.zarr").out), open_store(out)
    assert verify_store(out) == []
    assert [part.id for part in back.parts] == [part.id for part in whole.parts]
    assert [one.id for one in back.slides] == [one.id for one in whole.slides]
    assert np.array_equal(back.read(np.arange(0, count, 20)), whole.read(np.arange(0, count, 20)))
