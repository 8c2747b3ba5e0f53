"""`export` of painted folders: the oracle's table, splits, conditions, the card, resuming, refusals."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.io import loadmat

from tests import oracle_all_idb as oracle
from wsi_patches.cli.main import COMMANDS, main
from wsi_patches.errors import OutputBusy, OutputExists, StoreError, UsageError
from wsi_patches.export import FORMATS
from wsi_patches.export.all_idb import COLUMNS
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store
from wsi_patches.synthetic import AllIdbField, SmearSettings, all_idb1_fields, write_all_idb1, write_slide
from wsi_patches.workflows.export import ExportSettings, export
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.output import is_run_file
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import read_events
from wsi_patches.workflows.split import SplitSettings, split
from wsi_patches.workflows.status import read_status

SMALL, LARGE = (1712, 1368), (2592, 1944)
FOLDER = "patches_256_overlap_0.25_toll_5"
TABLE = f"ALL_IDB1_{FOLDER}.csv"


def write_fields(folder):
    """Paint three images of ALL-IDB1, of both of its sizes; cells at borders are marked too."""
    fields = []
    for number, size in [(2, SMALL), (1, SMALL), (34, LARGE)]:
        settings = SmearSettings.random(number, blasts=8 if number < 34 else 0, others=6)
        fields.append(AllIdbField(number, number < 34, settings, size))
    write_all_idb1(folder, fields)
    # On both sides of the tolerance and of the clamp: a patch begins at 193 and the one before ends at 256.
    with (folder / "xyc" / "Im001_1.xyc").open("a") as stream:
        stream.write("".join(f"{x}\t{y}\n" for x in (187, 188, 193, 194, 256, 261, 262) for y in (1, 193, 449, 454)))


@pytest.fixture(scope="module")
def all_idb1(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    write_fields(folder)
    return folder


@pytest.fixture(scope="module")
def store(all_idb1, tmp_path_factory):
    out = tmp_path_factory.mktemp("stores") / "a.zarr"
    return extract(ExtractSettings((all_idb1,), out, workers=2, fsync=False)).out


def expected_rows(folder):
    """Return the whole table by the oracle, and each patch's origin by its name."""
    rows, origins = [], {}
    for image in sorted((folder / "im").glob("*.jpg")):
        with Image.open(image) as picture:
            size = picture.size
        files = [folder / kind / f"{image.stem}.xyc" for kind in ("xyc", "other")]
        points = [oracle.read_points(file.read_text()) for file in files]
        for number, origin in enumerate(oracle.patches(*size), start=1):
            local = [oracle.local_points(of_class, origin) for of_class in points]
            texts = [" ".join(f"{x} {y}" for x, y in one) or "N/A" for one in local]
            name = f"{image.stem}_patch_{number}.tif"
            rows.append([name, *(str(int(len(one) > 0)) for one in local), *texts])
            origins[name] = origin
    return rows, origins


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_all_idb_equals_the_oracle_in_every_column(all_idb1, store, tmp_path):
    result = export(ExportSettings(store, tmp_path / "out", "all-idb", workers=2))
    rows, origins = expected_rows(all_idb1)
    found = read_rows(tmp_path / "out" / FOLDER / TABLE)
    assert found[0] == list(COLUMNS)
    assert found[1:] == rows
    assert result.patches == len(rows) == 48 + 48 + 117
    assert sum(row[1] == "1" for row in rows) > 10
    pixels = cv2.imread(str(all_idb1 / "im" / "Im034_0.jpg"))[:, :, ::-1]
    for name in ("Im034_0_patch_1.tif", "Im034_0_patch_15.tif", "Im034_0_patch_117.tif"):
        column, row = origins[name]
        with Image.open(tmp_path / "out" / FOLDER / name) as picture:
            assert np.array_equal(picture, pixels[row - 1 : row + 255, column - 1 : column + 255])
        info = loadmat(tmp_path / "out" / FOLDER / "info" / name.replace(".tif", ".mat"))["info"]
        assert info["Start"].item().tolist() == [[row, column]]
        assert info["End"].item().tolist() == [[row + 255, column + 255]]


def test_our_own_reader_takes_what_all_idb_wrote(store, tmp_path):
    export(ExportSettings(store, tmp_path / "out", "all-idb", where="slide == 'Im001_1'"))
    again = open_store(extract(ExtractSettings((tmp_path / "out",), tmp_path / "b.zarr", workers=1)).out)
    first = open_store(store)
    positions = first.positions_of("Im001_1")
    by_name = {f"Im001_1_patch_{first.grid_index[one] + 1}": one for one in positions.tolist()}
    assert by_name.keys() == {record.id for record in again.slides}
    for record in again.slides:
        here = again.positions_of(record.id)
        assert np.array_equal(again.read(here)[0], first.read([by_name[record.id]])[0])
        assert record.label == _diagnosis(first.labels[by_name[record.id]])


def _diagnosis(counts):
    names = {(True, False): "blast", (False, True): "other", (True, True): "blast and other"}
    return names.get((bool(counts[0]), bool(counts[1])), "no white cell")


@pytest.mark.slow
def test_all_idb_equals_the_oracle_on_all_108_fields(tmp_path):
    folder = tmp_path / "ALL_IDB1"
    write_all_idb1(folder, all_idb1_fields(108, leukemic=49))
    made = extract(ExtractSettings((folder,), tmp_path / "a.zarr", fsync=False)).out
    result = export(ExportSettings(made, tmp_path / "out", "all-idb"))
    rows, _ = expected_rows(folder)
    assert result.patches == len(rows) == 33 * 48 + 75 * 117
    assert read_rows(tmp_path / "out" / FOLDER / TABLE)[1:] == rows


def contents(folder):
    """Return all files but those of the run itself."""
    files = (file for file in folder.rglob("*") if file.is_file() and not is_run_file(file.name))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_that_was_cut_short_is_gone_on_with_to_the_same_bytes(store, tmp_path, name):
    asked = {"format": name, "where": "index < 12", "shard_patches": 10, "workers": 2}
    export(ExportSettings(store, tmp_path / "whole", **asked))
    whole = contents(tmp_path / "whole")
    # As a kill leaves it: the manifest of the begun run, some files, one half written, no card.
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    written = (".tif", ".png", ".tar", ".mat", ".h5", ".parquet", ".txt", ".zarr")
    inside = set(cut.rglob("*.zarr/**/*"))
    kept = sorted(file for file in cut.rglob("*") if file.suffix in written and file not in inside)
    for file in kept[::2]:
        file.rename(file.with_name(f"{file.name}.partial"))
    for file in (cut / "README.md", *cut.rglob("*.csv")):
        file.unlink()
    times = {file: file.stat().st_mtime_ns for file in kept[1::2]}
    with pytest.raises(OutputExists, match="--resume"):
        export(ExportSettings(store, cut, **asked))
    export(ExportSettings(store, cut, resume=True, **asked))
    found = contents(cut)
    assert found.keys() == whole.keys()
    assert all(found[file] == whole[file] for file in whole if file not in ("README.md", "export.json"))
    assert json.loads(found["export.json"])["complete"]
    assert {file: file.stat().st_mtime_ns for file in times} == times


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_that_was_stopped_in_the_middle_is_gone_on_with(store, tmp_path, name):
    asked = {"format": name, "where": "index < 12", "shard_patches": 10, "workers": 2}

    def stop(done, _total):
        if done >= 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(ExportSettings(store, tmp_path / "cut", **asked), stop)
    begun = contents(tmp_path / "cut")
    assert not json.loads(begun["export.json"])["complete"]
    assert "README.md" not in begun
    export(ExportSettings(store, tmp_path / "cut", resume=True, **asked))
    export(ExportSettings(store, tmp_path / "whole", **asked))
    cut, whole = contents(tmp_path / "cut"), contents(tmp_path / "whole")
    assert len(whole) > len(begun) > 1
    assert cut.keys() == whole.keys()
    assert all(cut[file] == whole[file] for file in whole if file not in ("README.md", "export.json"))


def test_an_export_of_something_else_is_neither_gone_on_with_nor_mixed(store, tmp_path):
    out = tmp_path / "out"
    export(ExportSettings(store, out, "csv", where="index < 3"))
    before = contents(out)
    with pytest.raises(UsageError, match=r"something else \(where\)"):
        export(ExportSettings(store, out, "csv", where="index < 4", resume=True))
    with pytest.raises(UsageError, match=r"something else \(format, image\)"):
        export(ExportSettings(store, out, "imagefolder", where="index < 3", image="webp", resume=True))
    assert contents(out) == before
    export(ExportSettings(store, out, "imagefolder", where="index < 3", overwrite=True))
    assert not (out / "images").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="something else than an export"):
        export(ExportSettings(store, tmp_path / "mine", "csv", overwrite=True))


def test_the_log_and_status_say_what_became_of_each_slide(store, tmp_path):
    out = tmp_path / "out"
    export(ExportSettings(store, out, "csv", where="slide != 'Im002_1' and index < 2"))
    (status,) = read_status(out)
    assert (status.runs[0].command, status.state) == ("export", "finished")
    assert status.slides == {"total": 2, "done": 2, "partial": 0, "failed": 0, "kept": 0, "left": 0}
    slides = [event for event in read_events(out / "run.jsonl") if event["event"] == "slide"]
    assert [one["slide"] for one in slides] == ["Im001_1", "Im034_0"]
    with lock_output(out, "export", {}), pytest.raises(OutputBusy, match="wsi-patches export"):
        export(ExportSettings(store, out, "csv", overwrite=True))


def test_a_damaged_patch_stops_the_run_and_names_its_slide_and_part(store, tmp_path):
    torn, out = tmp_path / "torn.zarr", tmp_path / "out"
    shutil.copytree(store, torn)
    position = int(open_store(torn).positions_of("Im002_1")[7])
    for shard in (torn / "parts").rglob("images/c/0/0/0/0"):
        part = shard.parents[5].name
        content = bytearray(shard.read_bytes())
        at = open_store(torn)
        number = int(np.searchsorted(at.offsets, position, side="right")) - 1
        if at.parts[number].id == part:
            index = np.frombuffer(content[-4 - 16 * at.parts[number].images.shard : -4], "<u8").reshape(-1, 2)
            content[int(index[position - at.offsets[number], 0]) + 20] ^= 255
            shard.write_bytes(content)
    with pytest.raises(StoreError, match=r"slide Im002_1, index 7 \(--where.*parts.*wsi-patches verify"):
        export(ExportSettings(torn, out, "imagefolder"))
    (status,) = read_status(out)
    assert status.state == "stopped"
    assert "slide Im002_1, index 7" in status.runs[0].error
    result = export(ExportSettings(torn, out, "imagefolder", where="slide != 'Im002_1'", overwrite=True))
    assert result.patches == 213 - 48
    assert read_status(out)[0].state == "finished"


def test_what_cannot_be_leaves_no_folder(store, tmp_path):
    out = tmp_path / "out"
    for asked, told in (
        ({"where": "index > 1e9"}, "no patch is left of 213"),
        ({"where": "blsat > 0"}, "there is no such column: there are slide, group"),
        ({"label_by": "lymphocyte"}, "choose cells, slide or a class of the store: blast, other"),
        ({"split": "published"}, "no published split"),
    ):
        with pytest.raises(UsageError, match=told):
            export(ExportSettings(store, out, "csv", **asked))
    for settings, told in (
        ({"format": "all-idb", "image": "jpeg"}, "are TIFF, without loss"),
        ({"format": "csv", "features": "lite0"}, "goes with --format hdf5"),
        ({"format": "csv", "quality": 0}, "takes 1 to 100"),
        ({"format": "csv", "workers": 0}, "--workers takes 1 or more"),
    ):
        with pytest.raises(UsageError, match=told):
            ExportSettings(store, out, **settings)
    with pytest.raises(UsageError, match="no format 'png'"):
        ExportSettings(store, out, "png")
    assert not out.exists()


def test_a_split_keeps_slides_whole_is_written_down_and_can_be_used_again(store, tmp_path):
    asked = {"split": {"train": 0.6, "test": 0.4}, "group_by": "slide", "seed": 3, "where": "slide_label == 'ALL'"}
    result = export(ExportSettings(store, tmp_path / "a", "imagefolder", **asked))
    again = export(ExportSettings(store, tmp_path / "b", "imagefolder", **asked))
    assert contents(tmp_path / "a").keys() == contents(tmp_path / "b").keys()
    assert result.splits == again.splits
    with (tmp_path / "a" / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    of_slide = {row["id"]: row["split"] for row in rows}
    assert {row["path"] for row in rows} == {f"{name}.jpg" for name in of_slide}, "folders of this machine are no one's"
    assert set(of_slide.values()) == {"train", "test"}
    for name in ("train", "test"):
        files = (tmp_path / "a" / name).rglob("*.png")
        assert {file.stem.rpartition("_")[0] for file in files} == {one for one, of in of_slide.items() if of == name}
    assert any("WARNING" in warning for warning in result.warnings)
    assert "WARNING" in (tmp_path / "a" / "README.md").read_text()


def test_the_split_that_the_store_keeps_is_taken(store, tmp_path):
    kept = tmp_path / "kept.zarr"
    shutil.copytree(store, kept)
    (tmp_path / "mine.csv").write_text("id,split\nIm001_1,train\nIm034_0,test\n")
    split(SplitSettings(kept, tmp_path / "split", use=str(tmp_path / "mine.csv"), copies=False))
    result = export(ExportSettings(kept, tmp_path / "out", "csv"))
    assert {name: sum(counts.values()) for name, counts in result.splits.items()} == {"train": 48, "test": 117}
    assert result.left_out == ((48, "in no split"),)
    assert export(ExportSettings(kept, tmp_path / "all", "csv", split="none", where="split == 'test'")).patches == 117


def test_a_slides_own_jpegs_are_taken_as_they_are_unless_a_quality_is_asked_for(tmp_path):
    write_slide(tmp_path / "s.tif", Size(512, 256), SmearSettings.random(3), quality=80)
    made = extract(ExtractSettings((tmp_path / "s.tif",), tmp_path / "a.zarr", patch_size=256, codec="jpeg")).out
    pixels = open_store(made).read([0, 1])

    def largest_difference(name, **options):
        export(ExportSettings(made, tmp_path / name, "imagefolder", image="jpeg", **options))
        files = sorted((tmp_path / name).rglob("*.jpg"))
        return max(np.abs(np.array(Image.open(file), int) - one).max() for file, one in zip(files, pixels, strict=True))

    assert largest_difference("own") == 0
    assert largest_difference("anew", quality=95) > 0
    assert "the slide's own JPEG" in (tmp_path / "own" / "README.md").read_text()
    assert "the slide's own JPEG" not in (tmp_path / "anew" / "README.md").read_text()


def test_unreadable_places_are_left_out_and_counted(store, tmp_path):
    torn = tmp_path / "torn.zarr"
    shutil.copytree(store, torn)
    for metadata in (torn / "parts").glob("*/zarr.json"):
        values = json.loads(metadata.read_text())
        for slide in values["attributes"]["slides"]:
            slide["unreadable"] = [2, 5] if slide["id"] == "Im001_1" else []
        metadata.write_text(json.dumps(values))
    result = export(ExportSettings(torn, tmp_path / "out", "csv"))
    assert result.patches == 213 - 2
    assert result.left_out == ((2, "whose place on the slide could not be read"),)
    names = {file.stem for file in (tmp_path / "out").rglob("Im001_1_*.png")}
    assert len(names) == 46
    assert not names & {"Im001_1_000002", "Im001_1_000005"}
    assert result.unreadable == 2
    assert "Left out: 2 patches" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_says_what_it_is(store, tmp_path):
    asked = ExportSettings(store, tmp_path / "out", "imagefolder", where="blast > 0", image="jpeg", quality=90)
    result = export(asked)
    card = (tmp_path / "out" / "README.md").read_text()
    opened = open_store(store)
    blasts = opened.labels[opened.labels[:, 0] > 0]
    assert result.patches == len(blasts)
    for told in (
        f"# {len(blasts)} patches of 2 slides",
        "For research use only",
        "JPEG, quality 90",
        "256 x 256 px, a step of 192 px",
        "Size of a pixel: not stated",
        f"| all | {len(blasts)} | 0 | 0 | {len(blasts)} |",
        f"| all | {blasts[:, 0].sum()} | {blasts[:, 1].sum()} |",
        "wsi-patches export a.zarr -o out --format imagefolder --where 'blast > 0' --image jpeg --quality 90",
        f"Left out: {213 - len(blasts)} patches, not selected by blast > 0.",
        opened.slides[0].licence,
    ):
        assert told in card, told
    assert str(tmp_path) not in card


def test_the_command_says_what_it_did(store, tmp_path, monkeypatch):
    monkeypatch.setitem(COMMANDS, "export", "Write patches of a store as other trainers read them.")

    def run_cli(*arguments):
        return CliRunner().invoke(main, ["export", *map(str, arguments)])

    out = tmp_path / "out"
    done = run_cli(store, "-o", out, "--format", "csv", "--where", "slide == 'Im034_0' and index < 4", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["patches"] == 4
    assert sum(told["splits"]["all"].values()) == 4
    assert list(told["left_out"].values()) == [213 - 4]
    refused = run_cli(store, "-o", out, "--format", "csv")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    refused = run_cli(store, "-o", tmp_path / "b", "--format", "csv", "--split", "0.5")
    assert refused.exit_code == 2
    assert "0.7/0.15/0.15" in refused.stderr
    assert run_cli(tmp_path / "none.zarr", "-o", tmp_path / "b", "--format", "csv").exit_code == 1
    assert not (tmp_path / "b").exists()
    done = run_cli(store, "-o", out, "--format", "csv", "--where", "blast > 0", "--label-by", "blast", "--overwrite")
    assert done.exit_code == 0, done.output
    assert "not selected by blast > 0" in done.stdout
