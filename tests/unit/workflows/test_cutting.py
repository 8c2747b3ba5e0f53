"""Parts: every place in one part, none twice, and the same parts again after a kill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.datasets import SlideItem
from wsi_patches.geometry import Size
from wsi_patches.grid import Kept
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.slide import AS_IT_IS, SlideInfo
from wsi_patches.workflows.cutting import cut_parts, part_id, part_patches
from wsi_patches.workflows.look import Looked

TILES = JpegTiles(Size(8, 8), b"", "rgb")


def slide(number, total, mask=None, tiles=None):
    info = SlideInfo(f"/s/{number}.tif", "1-a", Size(10, 10), ())
    kept = None if mask is None else Kept.of(np.array(mask))
    return Looked(SlideItem(f"/s/{number}.tif"), info, total, tiles, kept, slide_id=str(number))


@st.composite
def slides(draw):
    made = []
    for number in range(draw(st.integers(1, 8))):
        total = draw(st.integers(1, 40))
        mask = draw(st.none() | st.lists(st.booleans(), min_size=total, max_size=total).filter(any))
        made.append(slide(number, total, mask, draw(st.sampled_from([None, TILES]))))
    return made


def cut(waiting, size, present=None):
    return list(cut_parts(waiting, present or {}, lambda _: size, AS_IT_IS))


@given(slides(), st.integers(1, 50))
def test_every_place_is_in_one_run_and_no_part_is_too_large(waiting, size):
    covered, parts = {}, cut(waiting, size)
    for jobs, tiles in parts:
        assert sum(job.patches for job in jobs) <= size
        assert len({job.slide_id for job in jobs}) == len(jobs)
        assert {one.tiles for one in waiting if one.slide_id in {job.slide_id for job in jobs}} == {tiles}
        for job in jobs:
            covered.setdefault(job.slide_id, []).extend(range(job.start, job.stop))
    assert covered == {one.slide_id: list(range(one.total)) for one in waiting}
    for one in waiting:
        if one.kept is not None:
            masks = [job.kept.mask() for jobs, _ in parts for job in jobs if job.slide_id == one.slide_id]
            assert np.array_equal(np.concatenate(masks), one.kept.mask())
            assert all(mask.any() for mask in masks)
    assert len({part_id(jobs) for jobs, _ in parts}) == len(parts)


@given(slides(), st.integers(1, 20), st.randoms(use_true_random=False))
def test_what_is_missing_after_a_kill_is_cut_as_before(waiting, size, random):
    """Parts are complete or absent; cutting what is absent makes every absent run again, and nothing else."""
    parts = [jobs for jobs, _ in cut(waiting, size)]
    complete = [jobs for jobs in parts if random.random() < 0.5]
    present = {}
    for jobs in complete:
        for job in jobs:
            present.setdefault(job.slide_id, set()).add((job.start, job.stop))
    again = {(job.slide_id, job.start, job.stop, job.kept) for jobs, _ in cut(waiting, size, present) for job in jobs}
    missing = [jobs for jobs in parts if jobs not in complete]
    assert again == {(job.slide_id, job.start, job.stop, job.kept) for jobs in missing for job in jobs}


def test_a_part_is_a_shard_at_least_and_some_shards_at_most():
    assert part_patches(256, 10, False) == 512
    assert part_patches(256, 14_000, False) == 1750
    assert part_patches(256, 10**7, False) == 4096
    assert part_patches(256, 10, True) == 2048
    assert part_patches(10_000, 10**6, False) == 8


def test_ten_thousand_small_fields_make_few_parts():
    waiting = [slide(number, 6) for number in range(10_000)]
    parts = cut(waiting, part_patches(256, 60_000, False))
    assert len(parts) == 15
