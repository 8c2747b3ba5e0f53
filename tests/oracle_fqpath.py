"""FQPath as its authors compute it, one step after the other in float64: nothing of the package's arithmetic is used.

Only the taps are shared. Right for pictures without exactly flat areas, where the sign of a response is rounding.
"""

import math

import numpy as np

from wsi_patches.imaging.focus_taps import BAND_PASS, LOW_PASS


def filter_rows(plane, taps):
    """Filter along the rows, each mirrored at its ends, the edge pixel repeated."""
    reach = len(taps) // 2
    return np.array([np.convolve(row, taps, "valid") for row in np.pad(plane, ((0, 0), (reach, reach)), "symmetric")])


def score(plane):
    """Score a plane of grey in 0 to 1."""
    across = filter_rows(filter_rows(plane, LOW_PASS), BAND_PASS)
    down = filter_rows(filter_rows(plane.T, LOW_PASS), BAND_PASS).T
    mask = (across > 0) & (down > 0)
    across, down = across[mask], down[mask]
    both = np.concatenate([across, down])
    frequency, edges = np.histogram(both, 50)
    cumulated = np.cumsum(frequency) / len(both)
    centres = (edges[:-1] + edges[1:]) / 2
    bins = np.count_nonzero(cumulated < cumulated[0] + 0.95 * (1 - cumulated[0]))
    share = (1 - math.tanh(60 * (centres[bins - 1] / centres[-1] - 0.095))) / 4 + 0.09
    features = np.sort((np.sqrt(across) + np.sqrt(down)) ** 2)[::-1]
    top = features[: math.floor(share * len(features) + 0.5)]
    return -math.log10(np.mean((top - top.mean()) ** 4))
