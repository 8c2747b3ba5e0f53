"""The page of a stream: who can read it, what it shows without scripts, and while the run goes on."""

import re

import numpy as np
import pytest

from tests.unit.report.pages import check_readable
from wsi_patches.report.clusters import ClusterShown, Frame, StreamPicture, render_clusters

NASTY = "</td><script>alert('x')</script>&\""


@pytest.fixture
def picture(rng):
    frames = [
        Frame(10, ((1, 0.0, 0.0, 0.7), (2, 5.0, 1.0, 0.3)), 1.5),
        Frame(20, ((1, 0.1, 0.2, 0.4), (2, 5.0, 1.0, 0.3), (3, -4.0, 2.0, 0.3)), 1.4),
    ]
    return StreamPicture(rng.normal(size=(20, 2)), np.arange(1, 21), np.repeat([1, 2], 10), frames)


def render(picture, **more):
    shown = ClusterShown("Cluster 1", NASTY, [np.full((40, 40, 3), 99, np.uint8)], [NASTY])
    figures = [("Way", "Clusters", "A", "B", "C", "D", "E"), ("ours", *"123456")]
    return render_clusters(NASTY, (NASTY,), picture, figures, (shown,), {"Store": NASTY}, (NASTY,), **more)


def test_anybody_can_read_it_and_nothing_of_a_file_is_run(picture):
    page = check_readable(render(picture))
    assert len(page.all("script")) == 1
    assert "Cluster 1" in page.text
    assert [one["value"] for one in page.all("input")] == ["1"]


def test_without_scripts_the_last_moment_is_seen_and_points_know_when_they_came(picture):
    page = check_readable(render(picture))
    moments = [one for one in page.all("g") if "data-frame" in one]
    assert [one.get("display") for one in moments] == ["none", None]
    assert moments[-1]["data-told"] == "20 patches, 3 clusters, fuzziness 1.40"
    points = [one for one in page.all("path") if "data-since" in one]
    assert [one["data-since"] for one in points] == ["0"] * 10 + ["1"] * 10
    assert len({one["fill"] for one in points}) == len({one["d"] for one in points}) == 2


def test_all_points_and_rings_lie_within_the_picture(picture):
    text = render(picture)
    places = re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", text) + re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', text)
    assert len(places) == 20 + 2 * 5
    assert all(0 < float(x) < 720 and 0 < float(y) < 480 for x, y in places)


def test_a_page_that_will_be_written_anew_loads_itself_again(picture):
    assert "location.reload" in render(picture, goes_on=True)
    assert "location.reload" not in render(picture)
