"""The ALL-IDB Patches labels by brute force, from the published protocol alone: nothing of the package is used here.

Everything counts from 1, as in the MATLAB reference: patch 256, stride 192, tolerance 5, remainder dropped, row-major.
"""

PATCH, STRIDE, TOLERANCE = 256, 192, 5


def read_points(text):
    points = []
    for line in text.replace("\r", "\n").split("\n"):
        words = line.split()
        if len(words) == 2:
            points.append((int(words[0]), int(words[1])))
    return points


def patches(width, height):
    """Return the 1-based origins (column, row) of all patches."""
    origins = []
    row = 1
    while row + PATCH - 1 <= height:
        column = 1
        while column + PATCH - 1 <= width:
            origins.append((column, row))
            column += STRIDE
        row += STRIDE
    return origins


def local_points(points, origin):
    """Return the local coordinates of the points of one patch, clamped into 1..256."""
    column, row = origin
    local = []
    for x, y in points:
        in_columns = column - TOLERANCE <= x <= column + PATCH - 1 + TOLERANCE
        in_rows = row - TOLERANCE <= y <= row + PATCH - 1 + TOLERANCE
        if in_columns and in_rows:
            local.append((min(max(x - column, 1), PATCH), min(max(y - row, 1), PATCH)))
    return local
