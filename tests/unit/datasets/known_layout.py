"""A folder read by the layout that it is known by."""

from wsi_patches.datasets.layouts import recognise


def read(folder):
    layout, place = recognise(folder)
    return layout.read(place)
