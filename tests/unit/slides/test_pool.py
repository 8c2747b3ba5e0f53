"""Slides that tasks share: opened once, closed when others take their place, opened anew when the file changed."""

import threading

import numpy as np
import pytest
import tifffile

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slide import AS_IT_IS, ReadOptions
from wsi_patches.slides.pool import borrow_slide, close_idle_slides


@pytest.fixture
def paths(tmp_path, rng):
    close_idle_slides()
    made = [tmp_path / f"{name}.tif" for name in "ab"]
    for path in made:
        tifffile.imwrite(path, rng.integers(0, 255, (64, 64, 3), np.uint8), tile=(16, 16), photometric="rgb")
    yield made
    close_idle_slides()


def test_the_last_slide_stays_open_and_others_are_closed(paths):
    with borrow_slide(paths[0], AS_IT_IS) as first:
        pass
    with borrow_slide(paths[0], AS_IT_IS) as again:
        assert again is first
        with borrow_slide(paths[1], AS_IT_IS):
            pass
        again.read(Box(0, 0, 8, 8))
    with borrow_slide(paths[1], AS_IT_IS):
        pass
    with pytest.raises(SlideError, match="closed"):
        first.read(Box(0, 0, 8, 8))


def test_other_options_and_a_changed_file_are_another_slide(paths, rng):
    with borrow_slide(paths[0], AS_IT_IS) as one, borrow_slide(paths[0], ReadOptions(mpp=0.5)) as other:
        assert one is not other
        assert other.info.mpp == 0.5
    tifffile.imwrite(paths[0], rng.integers(0, 255, (96, 96, 3), np.uint8), tile=(16, 16), photometric="rgb")
    with borrow_slide(paths[0], AS_IT_IS) as changed:
        assert changed.info.size == (96, 96)


def test_a_slide_that_cannot_be_opened_is_tried_again(paths):
    content = paths[0].read_bytes()
    paths[0].write_bytes(b"II*\0")
    with pytest.raises(SlideError), borrow_slide(paths[0], AS_IT_IS):
        pass
    paths[0].write_bytes(content)
    with borrow_slide(paths[0], AS_IT_IS) as slide:
        assert slide.info.size == (64, 64)


def test_threads_share_one_opening(paths):
    seen, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        with borrow_slide(paths[0], AS_IT_IS) as slide:
            slide.read(Box(0, 0, 64, 64))
            seen.append(slide)
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1
