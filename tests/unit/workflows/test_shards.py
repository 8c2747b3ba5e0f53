"""Shares of the work: disjoint, complete, told apart by their names, and put together again at the end."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.datasets import assign_ids
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.outcome import DONE, FAILED, Outcome, SlideReport
from wsi_patches.report import write_counts
from wsi_patches.workflows.merge import collect_reports, is_last
from wsi_patches.workflows.run_log import RunLog
from wsi_patches.workflows.shards import Shard, check_same_slide, ids_of_shard, take_shard


@given(st.integers(0, 200), st.integers(1, 30))
def test_shares_are_disjoint_complete_and_of_equal_size(count, of):
    items = list(range(count))
    shares = [take_shard(items, Shard(number, of)) for number in range(1, of + 1)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)


def test_neighbours_go_to_different_shares():
    assert take_shard("abcdefg", Shard(2, 3)) == "be"
    assert take_shard("abc", None) == "abc"


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_what_is_written_is_read(number, more):
    shard = Shard(number, number + more)
    assert Shard.parse(str(shard)) == Shard.parse(f" {shard} ") == shard


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/2/3", "a/b", "1.5/2", "1 of 2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


@given(st.lists(st.sampled_from(["a/x.tif", "b/x.tif", "c/y.tif", "d/x.svs", "e/X.tif"]), max_size=12), st.data())
def test_ids_are_those_of_the_whole(paths, data):
    of = data.draw(st.integers(1, 5))
    whole = assign_ids([(path, "") for path in paths])
    together = [name for number in range(1, of + 1) for name in ids_of_shard(paths, Shard(number, of))]
    assert sorted(together) == sorted(whole)
    assert len({name.casefold() for name in together}) == len(paths)


def test_another_slide_under_the_same_id_is_found():
    check_same_slide("a", "new/a.tif", "print", None)
    check_same_slide("a", "new/a.tif", "print", ("old/a.tif", "print"))
    for known in (("old/a.tif", "other print"), ("old/b.tif", "print")):
        with pytest.raises(SlideError, match="another slide under the id a"):
            check_same_slide("a", "new/a.tif", "print", known)


def done(out, name):
    report = SlideReport(name, f"{name}.tif", DONE)
    (out / name).mkdir(exist_ok=True)
    (out / name / "report.json").write_text(json.dumps(report.to_dict()))
    return report


def begun(out, shard):
    return RunLog.open(out, "infer", {}, slides=2, tasks=2, shard=Shard.parse(shard))


def test_whoever_ends_last_is_told_so(tmp_path):
    assert is_last(tmp_path, Shard(1, 1))
    with begun(tmp_path, "1/3"):
        assert not is_last(tmp_path, Shard(1, 3))
    with begun(tmp_path, "2/3"):
        assert not is_last(tmp_path, Shard(2, 3))
        assert not is_last(tmp_path, Shard(3, 3)), "the second still runs"
    assert is_last(tmp_path, Shard(3, 3))
    begun(tmp_path, "1/3")._file.close()  # killed in its second run
    assert not is_last(tmp_path, Shard(3, 3))


def test_the_reports_of_all_shards_are_put_together_in_order(tmp_path):
    with begun(tmp_path, "1/2") as log:
        log.slide(done(tmp_path, "a"))
        log.slide(SlideReport("c", "c.tif", FAILED, group="P", error="torn", extra={"group_kind": "patient"}))
    with begun(tmp_path, "2/2") as log:
        log.slide(done(tmp_path, "b"))
    collected = collect_reports(tmp_path, ["c", "d", "b", "a"])
    assert [report.slide_id for report in collected.reports] == ["c", "b", "a"]
    assert collected.missing == ("d",)
    failed = collected.reports[0]
    assert (failed.status, failed.group, failed.error, failed.extra["group_kind"]) == (FAILED, "P", "torn", "patient")
    write_counts(tmp_path / "counts.csv", collected.reports)
    with (tmp_path / "counts.csv").open(newline="") as stream:
        assert [row["status"] for row in csv.DictReader(stream)] == ["failed", "done", "done"]


def test_the_last_word_on_a_slide_counts(tmp_path):
    for turn in ("fails", "is done", "fails again"):
        with begun(tmp_path, "1/2") as log:
            log.slide(done(tmp_path, "a") if turn == "is done" else Outcome.failed("a", "a.tif", turn))
        (found,) = collect_reports(tmp_path, ["a"]).reports
        assert (found.status, found.error) == ((DONE, "") if turn == "is done" else (FAILED, turn))
