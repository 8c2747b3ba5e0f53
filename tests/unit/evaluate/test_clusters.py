"""Figures of clusters, held against labels that are as good, as bad and as absent as they can be."""

import numpy as np
import pytest

from wsi_patches.evaluate.clusters import by_k_means, measure_clusters, purity_of


@pytest.fixture
def three(rng):
    truth = np.repeat([0, 1, 2], 40)
    return rng.normal(0, 1, (120, 2)) + np.array([[0, 0], [30, 0], [0, 30]])[truth], truth


def test_the_right_clusters_reach_one_and_shuffled_labels_do_not(three):
    points, truth = three
    figures = measure_clusters(points, truth, truth)
    assert (figures.clusters, figures.adjusted_rand, figures.purity) == (3, 1, 1)
    assert figures.silhouette > 0.85
    assert figures.davies_bouldin < 0.2
    assert figures.adjusted_rand_shuffled < 0.1
    assert measure_clusters(points, by_k_means(points, 3), truth).adjusted_rand == 1


def test_patches_without_a_label_count_for_the_clusters_alone(three):
    points, truth = three
    known = np.where(np.arange(120) % 4, truth, -1)
    some, none = (measure_clusters(points, truth, labels) for labels in (known, np.full(120, -1)))
    assert some.adjusted_rand == 1
    assert some.silhouette == none.silhouette
    assert none.plain["adjusted_rand"] is none.plain["purity"] is None
    assert none.texts[3:] == ("not defined",) * 3


def test_one_cluster_has_no_silhouette(three):
    points, truth = three
    figures = measure_clusters(points, np.zeros(120, int), truth)
    assert figures.plain["silhouette"] is figures.plain["davies_bouldin"] is None
    assert figures.adjusted_rand == 0
    assert figures.purity == pytest.approx(1 / 3)


def test_purity_counts_the_commonest_label_of_each_cluster():
    assert purity_of(np.array([0, 0, 1, 1, 1]), np.array([4, 4, 4, 9, 9])) == pytest.approx(0.8)


def test_k_means_asks_for_no_more_clusters_than_points_differ():
    assert len(set(by_k_means(np.array([[0.0], [0.0], [1.0]]), 3).tolist())) == 2
