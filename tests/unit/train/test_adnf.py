"""Clusters of a stream: modes that come late are found, memberships are shares, order and seed count as they should."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fcm import memberships_of
from wsi_patches.train.adnf import LOWEST, AdnfSettings, StreamClusters, entropy_of, first_centres
from wsi_patches.train.micro_clusters import MicroCluster, halves, merged, valley

SETTINGS = AdnfSettings(clusters=4, start=128, batch=32, window=256)


def modes(rng, centres, each):
    """Return points about some centres in a drawn order, and the mode of each."""
    points = np.concatenate([rng.normal(one, 1.0, (each, len(one))) for one in centres])
    truth = np.repeat(np.arange(len(centres)), each)
    drawn = rng.permutation(len(truth))
    return points[drawn], truth[drawn]


def corners(count, dims=12, far=8.0):
    return far * np.eye(dims)[:count]


def follow(settings, points):
    """Return a stream to whose end all points arrived, and what happened."""
    stream = StreamClusters(settings, points[: settings.start], np.arange(min(settings.start, len(points))))
    moments = [stream.first]
    for rows in np.array_split(np.arange(settings.start, len(points)), max(1, (len(points) - settings.start) // 32)):
        if len(rows):
            moments.append(stream.add(points[rows], rows))
    return stream, moments


@pytest.fixture(scope="module")
def late():
    """A stream of two modes at first, and of four later on."""
    rng = np.random.default_rng(3)
    early, first = modes(rng, corners(2), 150)
    after, second = modes(rng, corners(4), 150)
    return np.concatenate([early, after]), np.concatenate([first, second])


@pytest.fixture(scope="module")
def followed(late):
    return follow(SETTINGS, late[0])


def test_modes_that_come_late_are_found_where_clusters_of_the_first_patches_miss_them(late, followed):
    points, truth = late
    stream, moments = followed
    assert adjusted_rand_score(truth, stream.memberships(points).argmax(axis=1)) > 0.95
    shown = stream.projection.of(points)
    centres = first_centres(shown[: SETTINGS.start], 4, SETTINGS.fuzziness, SETTINGS.seed)
    static = memberships_of(shown, centres, SETTINGS.fuzziness).argmax(axis=1)
    assert adjusted_rand_score(truth, static) < 0.8
    assert any(event.startswith("split") for moment in moments[5:] for event in moment.events)


def test_agreement_is_above_that_of_shuffled_labels(late, followed, rng):
    points, truth = late
    mine = followed[0].memberships(points).argmax(axis=1)
    shuffled = [adjusted_rand_score(rng.permutation(truth), mine) for _ in range(50)]
    assert adjusted_rand_score(truth, mine) > 10 * max(shuffled)


@pytest.mark.parametrize("left_out", [{"split_below": -0.01}, {"merge_above": 1.01}])
def test_without_splits_or_merges_it_does_not_find_them(late, left_out):
    points, truth = late
    stream, moments = follow(replace(SETTINGS, **left_out), points)
    assert adjusted_rand_score(truth, stream.memberships(points).argmax(axis=1)) < 0.9
    told = " ".join(event for moment in moments for event in moment.events)
    assert ("split" if "split_below" in left_out else "merged") not in told


def test_a_mode_that_parts_is_split_and_two_that_join_are_merged(rng):
    apart, still = corners(2)[1], corners(3)[2]
    parting = [np.concatenate([rng.normal(s * side * apart / 2, 1, (16, 12)) for side in (-1, 1)])
               for s in np.linspace(0, 1.6, 40)]  # fmt: skip
    other = [rng.normal(still, 1, (16, 12)) for _ in parting]
    frames = [np.concatenate(pair) for pair in zip(parting, other, strict=True)]
    settings = replace(SETTINGS, clusters=2, start=96, half_life=300, batch=48)
    _, forth = follow(settings, np.concatenate(frames))
    _, back = follow(settings, np.concatenate(frames[::-1]))
    assert (forth[0].clusters, forth[-1].clusters) == (2, 3)
    assert any(event.startswith("split") for moment in forth for event in moment.events)
    assert back[-1].clusters == 2
    assert any(event.startswith("merged") for moment in back for event in moment.events)


def test_what_gets_nothing_any_more_fades_and_is_remembered(rng):
    early, _ = modes(rng, corners(3), 60)
    after, _ = modes(rng, corners(2), 500)
    stream, moments = follow(replace(SETTINGS, clusters=3, half_life=80), np.concatenate([early, after]))
    assert any("rested" in event for moment in moments for event in moment.events)
    (faded,) = stream.rested
    assert faded.rested is not None
    third = rng.normal(corners(3)[2], 1, (20, 12))
    assert {stream.clusters[one].number for one in stream.memberships(third).argmax(axis=1)} == {faded.number}


def test_the_vaguest_is_split_first_and_a_clear_one_is_left_alone(rng):
    """Both clusters are two modes; those of the first are further apart, so what it holds is less its own."""
    vague, clear = [[0, -7], [0, 7]], [[40, -4], [40, 4]]
    points = np.concatenate([rng.normal(one, 1, (32, 2)) for one in (*vague, *clear)])
    settings = replace(SETTINGS, clusters=2, start=len(points), half_life=2000)
    stream, later = StreamClusters(settings, points, np.arange(len(points))), points[::4]
    assert len(stream.first.events) == 1
    whole = max(stream.living, key=lambda one: abs(one.entropy - stream.living[-1].entropy))
    assert stream.first.events[0].startswith("split")
    assert str(whole.number) not in stream.first.events[0]
    assert whole.entropy == min(one.entropy for one in stream.living)
    events = [event for _ in range(3) for event in stream.add(later, np.arange(len(later))).events]
    assert not any(event.startswith(f"split {whole.number} ") for event in events)


def test_patches_between_two_clusters_teach_both(rng):
    points = np.concatenate([rng.normal([side, 0], 1, (40, 2)) for side in (-9, 9)])
    settings = replace(SETTINGS, clusters=2, start=len(points), half_life=10**6)
    stream = StreamClusters(settings, points, np.arange(len(points)))
    before = {one.number: one.weight for one in stream.living}
    stream.add(np.full((8, 2), [1.0, 0.0]), np.arange(8))
    assert all(one.weight > before[one.number] + 0.5 for one in stream.living)


def test_a_cloud_without_gaps_is_not_split(rng):
    stream, moments = follow(SETTINGS, rng.normal(size=(800, 12)))
    assert len(stream.living) == SETTINGS.least
    assert not any("split" in event for moment in moments for event in moment.events)


def test_the_fuzziness_moves_against_the_evolution_of_entropy(rng):
    clear, _ = modes(rng, corners(3), 200)
    vague = rng.normal(corners(3).mean(axis=0), 2.0, (300, 12))
    points = np.concatenate([clear, vague])
    settings = replace(SETTINGS, clusters=3, half_life=400, split_below=-0.01)
    _, moments = follow(settings, points)
    lowest = min(moments, key=lambda one: one.fuzziness)
    assert lowest.arrived > len(clear)
    assert max(one.index for one in moments) > 0.05
    inside = [(one, two) for one, two in pairwise(moments) if two.fuzziness > LOWEST]
    assert all((two.index > 0) == (two.fuzziness < one.fuzziness) for one, two in inside if two.index)
    _, fixed = follow(replace(settings, adapt=0), points)
    assert {one.fuzziness for one in fixed} == {settings.fuzziness}


def test_order_matters_across_batches_and_not_within_one(late, followed):
    points, _ = late
    turned, _ = follow(SETTINGS, points[::-1])
    assert {len(one.centre) for one in turned.living} == {10}
    assert not np.allclose(
        sorted(one.weight for one in turned.living), sorted(one.weight for one in followed[0].living)
    )
    one, other = (StreamClusters(SETTINGS, points[:128], np.arange(128)) for _ in range(2))
    batch = points[128:160]
    one.add(batch, np.arange(32))
    other.add(batch[::-1], np.arange(32)[::-1])
    assert np.allclose([c.centre for c in one.living], [c.centre for c in other.living])


def test_equal_seeds_give_equal_bits(late, followed):
    again, moments = follow(SETTINGS, late[0])
    assert moments == followed[1]
    assert all(np.array_equal(a.centre, b.centre) for a, b in zip(again.clusters, followed[0].clusters, strict=True))


def test_what_is_kept_does_not_grow_with_the_stream(rng):
    def kept(stream):
        arrays = [one.size for cluster in stream.clusters for one in vars(cluster).values() if hasattr(one, "size")]
        return sum(arrays) + stream._window.size

    points, _ = modes(rng, corners(3), 800)
    short, _ = follow(replace(SETTINGS, clusters=3), points[:400])
    long, _ = follow(replace(SETTINGS, clusters=3), points)
    assert len(long.clusters) == len(short.clusters) == 3
    assert kept(long) == kept(short)


@given(st.integers(1, 40), st.integers(2, 6), st.floats(1.1, 3.0), st.integers(0, 2**31))
def test_memberships_are_shares(count, clusters, fuzziness, seed):
    rng = np.random.default_rng(seed)
    member = memberships_of(rng.normal(0, 10, (count, 3)), rng.normal(0, 10, (clusters, 3)), fuzziness)
    assert member.shape == (count, clusters)
    assert ((member >= 0) & (member <= 1)).all()
    assert np.allclose(member.sum(axis=1), 1)
    assert ((entropy_of(member) >= -1e-12) & (entropy_of(member) <= 1 + 1e-12)).all()


def blob(number, centre, weight=100.0, width=1.0):
    centre = np.array(centre, float)
    return MicroCluster(number, centre, width**2 * np.eye(len(centre)), weight)


def test_the_valley_is_that_of_two_normal_distributions():
    near, far = blob(1, [0, 0]), blob(2, [4, 0])
    assert valley(near, far) == pytest.approx(2 * np.exp(-2) / (1 + np.exp(-8)), rel=1e-6)
    assert valley(near, blob(2, [0, 0])) == 1
    assert valley(near, blob(2, [1.5, 0])) == pytest.approx(1, abs=1e-6)
    # A cloud cut in the middle: halves of width 0.6 that lie 1.6 apart.
    assert valley(blob(1, [-0.8], width=0.6), blob(2, [0.8], width=0.6)) == pytest.approx(0.8, abs=0.03)


def test_merging_keeps_weight_mean_and_scatter(rng):
    points = rng.normal(size=(90, 3)) * [1, 2, 3]
    parts = [points[:60], points[60:]]
    one, other = (
        MicroCluster(number, part.mean(axis=0), np.cov(part.T, bias=True), float(len(part)))
        for number, part in enumerate(parts, 1)
    )
    whole = merged(other, one)
    assert (whole.number, whole.weight) == (1, 90)
    assert np.allclose(whole.centre, points.mean(axis=0))
    assert np.allclose(whole.scatter, np.cov(points.T, bias=True))


def test_a_cluster_is_halved_between_its_modes_and_too_few_are_not(rng):
    points = np.concatenate([rng.normal([0, 0], 1, (40, 2)), rng.normal([9, 0], 1, (20, 2))])
    near, far = halves(blob(1, [0, 0]), points, 7)
    assert (near.number, far.number) == (1, 7)
    assert (near.weight, far.weight) == pytest.approx((200 / 3, 100 / 3))
    assert np.allclose(far.centre, [9, 0], atol=1)
    assert halves(blob(1, [0, 0]), points[:20], 7) is None


def test_exemplars_are_the_nearest_that_arrived(followed, late):
    stream, _ = followed
    shown = stream.projection.of(late[0])
    for one in stream.living:
        apart = np.sqrt(((shown[one.exemplar_rows] - one.centre) ** 2).sum(axis=1))
        assert (np.diff(apart) >= -1e-9).all()
        assert apart.max() < np.median(np.sqrt(((shown - one.centre) ** 2).sum(axis=1)))


def test_fewer_patches_than_clusters_are_refused(rng):
    with pytest.raises(UsageError, match="4 clusters were asked of 3 patches: ask for fewer"):
        StreamClusters(SETTINGS, rng.normal(size=(3, 5)), np.arange(3))
    with pytest.raises(UsageError, match="8 patches are all alike"):
        StreamClusters(SETTINGS, np.ones((8, 5)), np.arange(8))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clusters": 1}, "clusters of a clustering must lie in 2"),
        ({"fuzziness": 1.0}, "fuzziness of a clustering must lie above 1"),
        ({"clusters": 20}, "starts with 2 to 16 clusters"),
        ({"half_life": 0}, "half_life"),
    ],
)
def test_impossible_settings_are_refused(values, said):
    with pytest.raises(UsageError, match=said):
        AdnfSettings(**values)
