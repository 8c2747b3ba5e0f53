"""What is known of each patch: names that stay inside, cells in the patch's own pixels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.export.all_idb import check
from wsi_patches.export.columns import patch_labels
from wsi_patches.export.patches import safe_names


@given(st.lists(st.text(max_size=8) | st.sampled_from(["..", ".", "/etc", "a", "A", "a~2", "../a", ""]), max_size=12))
def test_names_stay_inside_and_are_each_slides_own(names):
    safe = safe_names(names)
    assert len({one.casefold() for one in safe}) == len(names)
    for one in safe:
        assert Path("out", one).parent == Path("out")
        assert one not in ("", ".", "..")
        assert not set("/\\\0") & set(one)


def test_cells_are_in_the_patchs_own_pixels(patches):
    """Slide c: other cells at 33, 44 and 64.4, 63.6 (1-based), with patches of 64 px from 0."""
    found = [patches.cells(row) for row in range(len(patches))]
    assert [len(one.cells) for one in found] == patches.counts.sum(axis=1).tolist()
    first = next(row for row in range(len(patches)) if patches.slide(row).id == "c" and patches.index[row] == 0)
    assert np.allclose(found[first].xy_px, [(32, 43), (63.4, 62.6)])
    for row, one in enumerate(found):
        assert np.allclose(one.xy_px + np.array(patches.box(row)[:2]), one.cells.xy)


def test_labels_by_cells_by_slide_and_by_a_class(marked_store):
    label, names = patch_labels(marked_store)
    assert names == ("blast", "other", "none")
    counts = marked_store.labels
    expected = ["blast" if one[0] else "other" if one[1] else "none" for one in counts.tolist()]
    assert [names[one] for one in label] == expected
    label, names = patch_labels(marked_store, "other")
    assert [names[one] for one in label] == ["other" if one[1] else "no other" for one in counts.tolist()]
    label, names = patch_labels(marked_store, "slide")
    assert (names, set(label.tolist())) == ((), {-1})


def test_a_store_that_is_not_all_idbs_is_refused(make_job, patches, monkeypatch):
    check(make_job())
    slides = [type(one).from_dict({**one.to_dict(), "downsample": 2.0}) for one in patches.store.slides]
    monkeypatch.setitem(patches.store.__dict__, "slides", slides)
    with pytest.raises(UsageError, match="full resolution"):
        check(make_job())
