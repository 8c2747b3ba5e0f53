"""`wsi-patches cluster` on painted cells: files that fit together, labels that stay unseen, and clear refusals."""

import csv
import json
import sys

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from tests.integration.docs_given import Given
from wsi_patches.cli.main import main
from wsi_patches.stores import open_store
from wsi_patches.workflows.extract import ExtractSettings, extract

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = 60
SMALL = ["--clusters", "2", "--first", "24"]


def cluster(*arguments):
    return CliRunner().invoke(main, ["cluster", *map(str, arguments)])


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of pictures of two kinds, dark and bright, an encoder of a few weights, and what came of it."""
    folder, rng = tmp_path_factory.mktemp("cluster"), np.random.default_rng(5)
    for number in range(COUNT):
        kind = "dark" if number % 2 else "bright"
        (folder / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        level = {"dark": 70, "bright": 190}[kind]
        pixels = np.clip(rng.normal(level, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "pictures" / kind / f"p{number:02d}.png"), pixels)
    extract(ExtractSettings((folder / "pictures",), folder / "patches.zarr", patch_size=32, fsync=False))
    encoder = Given(folder)("my_encoder.yaml")
    done = cluster(folder / "patches.zarr", "-o", folder / "out", "--encoder", encoder, *SMALL)
    assert done.exit_code == 0, done.output
    return folder, encoder, done.output


def test_every_patch_has_shares_that_sum_to_one_and_clusters_that_there_are(made):
    folder, _, _ = made
    rows, clusters = rows_of(folder / "out" / "memberships.csv"), rows_of(folder / "out" / "clusters.csv")
    numbers = [row["cluster"] for row in clusters]
    assert [row["arrived"] for row in rows] == [str(number) for number in range(1, COUNT + 1)]
    for row in rows:
        shares = [float(row[f"c{number}"]) for number in numbers]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["cluster"] == numbers[int(np.argmax(shares))]
    assert sum(int(row["patches"]) for row in clusters) == COUNT
    names = {f"{row['slide']}#{row['index']}" for row in rows}
    assert all(set(row["exemplars"].split(";")) <= names for row in clusters)


def test_it_agrees_with_labels_above_chance_beside_simpler_ways(made):
    folder, _, output = made
    figures = json.loads((folder / "out" / "figures.json").read_text())["figures"]
    assert set(figures) == {"stream (ADNF)", "k-means, all at once", "fuzzy c-means, first patches"}
    ours = figures["stream (ADNF)"]
    assert ours["adjusted_rand"] > 0.9 > ours["adjusted_rand_shuffled"]
    assert "Davies-Bouldin" in output


def test_the_page_moves_by_itself_and_needs_nothing_beside(made):
    page = (made[0] / "out" / "clusters.html").read_text()
    timeline = rows_of(made[0] / "out" / "timeline.csv")
    assert page.count('data-frame="') >= 2
    assert page.count("data-since") == COUNT + 1  # and once in the script
    assert f"{COUNT} patches, {timeline[-1]['clusters']} clusters" in page
    assert "http" not in page.replace('xmlns="http', "")
    assert "reload" not in page
    assert "<figcaption>p" in page
    assert int(timeline[-1]["arrived"]) == COUNT


def test_labels_are_not_seen(made, tmp_path):
    folder, encoder, _ = made
    shuffled = np.random.default_rng(0).permutation(["bright", "dark"] * (COUNT // 2))
    for number, kind in enumerate(shuffled):
        source = next((folder / "pictures").rglob(f"p{number:02d}.png"))
        (tmp_path / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / kind / source.name).write_bytes(source.read_bytes())
    extract(ExtractSettings((tmp_path / "pictures",), tmp_path / "patches.zarr", patch_size=32, fsync=False))
    order = tmp_path / "order.csv"
    order.write_text("image,time\n" + "".join(f"p{number:02d}.png,{number}\n" for number in range(COUNT)))
    outs = []
    for store in (folder / "patches.zarr", tmp_path / "patches.zarr"):
        out = tmp_path / f"out{len(outs)}"
        done = cluster(store, "-o", out, "--encoder", encoder, "--order", order, *SMALL)
        assert done.exit_code == 0, done.output
        outs.append(out)
    assert (outs[0] / "memberships.csv").read_text() == (outs[1] / "memberships.csv").read_text()
    arrived = [row["slide"] for row in rows_of(outs[0] / "memberships.csv")]
    assert arrived == sorted(arrived)
    figures = [json.loads((out / "figures.json").read_text())["figures"]["stream (ADNF)"] for out in outs]
    assert figures[0]["silhouette"] == figures[1]["silhouette"]
    assert figures[1]["adjusted_rand"] < 0.2 < figures[0]["adjusted_rand"]


def test_what_cannot_be_is_refused_in_a_sentence(made, tmp_path):
    folder, encoder, _ = made
    store, to = folder / "patches.zarr", ["-o", tmp_path / "out", "--encoder", encoder]
    table = tmp_path / "order.csv"
    table.write_text("image,when\np01,3\n")
    short = tmp_path / "short.csv"
    short.write_text("image,time\np01,3\n")
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"command": "cluster", "stream": {"fuzzines": 2}}))
    wrong = [
        (["--clusters", "61"], "16 clusters"),
        (["--recipe", tmp_path / "bad.yaml"], "stream.fuzzines"),
        (["--order", table], "it needs image, and one of time, order, date"),
        (["--order", short], "says nothing of slide"),
        (["--target", "blast"], "blast"),
    ]
    for more, said in wrong:
        done = cluster(store, *to, *more)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert not (tmp_path / "out").exists()
    again = cluster(store, "-o", folder / "out", "--encoder", encoder)
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    assert "--resume" not in again.output


def test_fewer_patches_than_clusters_are_refused(made, tmp_path):
    folder, encoder, _ = made
    few = tmp_path / "few"
    few.mkdir()
    for source in sorted((folder / "pictures").rglob("*.png"))[:3]:
        (few / source.name).write_bytes(source.read_bytes())
    extract(ExtractSettings((few,), tmp_path / "few.zarr", patch_size=32, fsync=False))
    done = cluster(tmp_path / "few.zarr", "-o", tmp_path / "out", "--encoder", encoder)
    assert done.exit_code == 2
    assert "4 clusters were asked of 3 patches" in done.output
    assert len(open_store(tmp_path / "few.zarr")) == 3


def test_a_refusal_leaves_an_earlier_output_alone(made, tmp_path):
    folder, encoder, _ = made
    same = tmp_path / "same"
    same.mkdir()
    for number in range(4):
        cv2.imwrite(str(same / f"p{number}.png"), np.full((32, 32, 3), 99, np.uint8))
    extract(ExtractSettings((same,), tmp_path / "same.zarr", patch_size=32, fsync=False))
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    for store, more, said in (
        (folder / "patches.zarr", ["--first", "2", "--clusters", "4"], "4 clusters were asked of 2 patches"),
        (tmp_path / "same.zarr", [], "the first 4 patches are all alike"),
    ):
        done = cluster(store, "-o", folder / "out", "--encoder", encoder, "--overwrite", *more)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before


def test_an_order_that_is_none_is_refused(made, tmp_path):
    folder, encoder, _ = made
    table = tmp_path / "order.csv"
    rows = [f"p{number:02d},{number}\n" for number in range(COUNT)]
    for instead, said in (
        ("p07,\n", "says nothing of slide p07"),
        ("p07,soon\n", "holds numbers, such as 0, and texts, such as 'soon'"),
        ("p07,7\np07.png,7\nsub/p07,8\n", "p07 has the times '7' and '8'"),
    ):
        table.write_text("image,time\n" + "".join(instead if row.startswith("p07") else row for row in rows))
        done = cluster(folder / "patches.zarr", "-o", tmp_path / "out", "--encoder", encoder, "--order", table)
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert not (tmp_path / "out").exists()


def test_without_labels_nothing_is_said_of_them(made, tmp_path):
    folder, encoder, _ = made
    (tmp_path / "pictures").mkdir()
    for source in (folder / "pictures").rglob("p[0-2]?.png"):
        (tmp_path / "pictures" / source.name).write_bytes(source.read_bytes())
    extract(ExtractSettings((tmp_path / "pictures",), tmp_path / "patches.zarr", patch_size=32, fsync=False))
    done = cluster(tmp_path / "patches.zarr", "-o", tmp_path / "out", "--encoder", encoder, *SMALL)
    assert done.exit_code == 0, done.output
    for told in (done.output, (tmp_path / "out" / "clusters.html").read_text()):
        assert "Silhouette" in told
        assert "Adjusted Rand" not in told
        assert "not defined" not in told
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())["figures"]["stream (ADNF)"]
    assert figures["adjusted_rand"] is None


def test_without_scikit_learn_the_extra_is_named_before_anything_is_done(made, tmp_path, monkeypatch):
    folder, encoder, _ = made
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    done = cluster(folder / "patches.zarr", "-o", tmp_path / "out", "--encoder", encoder)
    assert done.exit_code == 2
    assert "pip install 'wsi-patches[train]'" in done.output
    assert not (tmp_path / "out").exists()
