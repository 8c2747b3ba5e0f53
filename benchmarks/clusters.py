"""Clusters of a stream beside k-means on all patches at once and fuzzy c-means of the first, on the same features.

Run: .venv/bin/python benchmarks/clusters.py ../shared/data
Real fields of the four-class ALL set, 60 a class; real single cells of TXL-PBC cut at their boxes, by kind; the same
with white cells in the second half only; painted cells of which blasts arrive in the second half only. Features are
EfficientNet-Lite0's of pictures of 112 px, which are what every way is given, on ten components of the first patches.
Figures are means over three orders of arrival (seeds 0 to 2); intervals are percentiles over 200 draws of pictures
(patients are not published), also means over the three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_samples, silhouette_score
from threadpoolctl import threadpool_limits

from wsi_patches.evaluate.clusters import by_k_means
from wsi_patches.imaging.fcm import memberships_of
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.synthetic import paint_cell_patches
from wsi_patches.train.adnf import AdnfSettings, StreamClusters, first_centres

SEEDS, DRAWS, SIDE = (0, 1, 2), 200, 112
WHITE = "0"
"""White cells among TXL-PBC's classes."""
FIGURES = ("silhouette", "Davies-Bouldin", "adjusted Rand")


def fields(data):
    """Return the four classes' fields and their classes."""
    files = sorted((data / "all_smears" / "images").glob("*/*.jpg"))
    return [cv2.imread(str(file))[..., ::-1] for file in files], [file.parent.name for file in files]


def cells(data):
    """Return crops of boxed cells, at most two of a kind from each picture, and their kinds: red, white, platelet."""
    crops, names = [], []
    for labels in sorted(data.glob("txl_pbc/*/labels_yolo/*.txt")):
        picture = next((labels.parents[1] / "images").glob(f"{labels.stem}.*"))
        image = cv2.imread(str(picture))[..., ::-1]
        lines = [line.split() for line in labels.read_text().splitlines() if line.strip()]
        taken = {}
        for kind, *box in lines:
            taken[kind] = taken.get(kind, 0) + 1
            if taken[kind] > 2 or len(box) != 4:
                continue
            height, width = image.shape[:2]
            x, y, w, h = (float(one) for one in box)
            side = 0.6 * max(w * width, h * height)
            left, top = int(max(0, x * width - side)), int(max(0, y * height - side))
            crop = image[top : top + int(2 * side), left : left + int(2 * side)]
            if min(crop.shape[:2]) > 8:
                crops.append(crop)
                names.append(kind)
    return crops, names


def painted():
    """Return painted cells, blasts and others."""
    images, truth = paint_cell_patches(320, 7, 64, 1.5)
    return list(images), ["blast" if one == 0 else "other" for one in truth.tolist()]


def described(images, encoder):
    """Return features of pictures, resized to one side."""
    resized = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images])
    return encoder.features(resized)


def arrivals(names, seed, late):
    """Return an order of arrival; with ``late``, that class comes in the second half only."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    if late is None:
        return order
    held = np.array([names[row] == late for row in order])
    first = order[~held][: len(order[~held]) // 2]
    return np.concatenate([first, rng.permutation(np.setdiff1d(order, first))])


def assigned(features, order, clusters, seed):
    """Return points, and each way's assignment of the patches in order of arrival."""
    settings = AdnfSettings(clusters=clusters, start=min(96, len(order) // 2), batch=16, window=256, seed=seed)
    arriving = features[order]
    stream = StreamClusters(settings, arriving[: settings.start], np.arange(settings.start))
    for start in range(settings.start, len(order), settings.batch):
        rows = np.arange(start, min(start + settings.batch, len(order)))
        stream.add(arriving[rows], rows)
    points = stream.projection.of(arriving)
    ours = stream.memberships(arriving).argmax(axis=1)
    static = first_centres(points[: settings.start], clusters, settings.fuzziness, seed)
    return points, {
        f"stream (ADNF), {len(stream.clusters)} clusters": ours,
        "k-means, all at once, as many": by_k_means(points, max(2, len(set(ours.tolist()))), seed),
        "k-means, all at once, as many as labels": by_k_means(points, clusters, seed),
        "fuzzy c-means of the first patches": memberships_of(points, static, settings.fuzziness).argmax(axis=1),
    }


def figures_of(points, mine, truth):
    if len(set(mine.tolist())) < 2:
        return float("nan"), float("nan"), float(adjusted_rand_score(truth, mine))
    return silhouette_score(points, mine), davies_bouldin_score(points, mine), adjusted_rand_score(truth, mine)


def ends_of(points, mine, truth, seed):
    """Return 95 % intervals of silhouette and adjusted Rand index; the Davies-Bouldin index gets none."""
    rng, drawn = np.random.default_rng(seed), []
    each = silhouette_samples(points, mine) if len(set(mine.tolist())) > 1 else np.full(len(mine), np.nan)
    for _ in range(DRAWS):
        rows = rng.integers(len(truth), size=len(truth))
        drawn.append((each[rows].mean(), np.nan, adjusted_rand_score(truth[rows], mine[rows])))
    return np.percentile(np.array(drawn), (2.5, 97.5), axis=0)


def shuffled(mine, truth, seed):
    rng = np.random.default_rng(seed)
    return float(np.percentile([adjusted_rand_score(rng.permutation(truth), mine) for _ in range(DRAWS)], 97.5))


def report(title, features, names, late=None):
    clusters = len(set(names))
    print(f"\n## {title}: {len(names)} patches, {clusters} labels\n")
    print(f"| way | {' | '.join(FIGURES)} | adjusted Rand by chance up to |\n|---|---|---|---|---|")
    told = {}
    for seed in SEEDS:
        order = arrivals(names, seed, late)
        truth = np.array(names)[order]
        points, ways = assigned(features, order, clusters, seed)
        for row, (way, mine) in enumerate(ways.items()):
            figures, ends = figures_of(points, mine, truth), ends_of(points, mine, truth, seed)
            told.setdefault(row, []).append((way, figures, ends, shuffled(mine, truth, seed)))
    for runs in told.values():
        mean = np.mean([one[1] for one in runs], axis=0)
        low, high = np.mean([one[2] for one in runs], axis=0)
        triples = zip(mean, low, high, strict=True)
        texts = [f"{value:.3f}" + ("" if np.isnan(a) else f" ({a:.3f} to {b:.3f})") for value, a, b in triples]
        names_told = "; ".join(dict.fromkeys(one[0] for one in runs))
        print(f"| {names_told} | {' | '.join(texts)} | {np.mean([one[3] for one in runs]):.3f} |", flush=True)


def main():
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    torch.set_num_threads(1)
    encoder = FrozenEncoder.load("lite0", "cpu")
    with threadpool_limits(1):
        images, names = fields(data)
        report("real fields of the four-class ALL set", described(images, encoder), names)
        images, names = cells(data)
        features = described(images, encoder)
        report("real boxed cells (TXL-PBC: Raabin, Barcelona)", features, names)
        report("the same cells, white cells arrive in the second half only", features, names, WHITE)
        images, names = painted()
        report("painted cells, blasts arrive in the second half only", described(images, encoder), names, "blast")


if __name__ == "__main__":
    main()
