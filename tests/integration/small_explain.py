"""A small model for `explain`, and `explain` with few draws and no map unless asked for."""

from wsi_patches.models import ModelCard
from wsi_patches.workflows.explain import ExplainSettings, explain

CARD = ModelCard(
    name="small", title="t", architecture="allnet", settings={"widths": [8, 16]}, classes=("blast", "other"),
    input_px=64, mean=(0.8, 0.7, 0.8), std=(0.2, 0.25, 0.1), trained_on="nothing", limits="all", licence="Apache-2.0",
    patch_cell_diameters=2.0,
)  # fmt: skip


def explained(out, queries, reference, **more):
    settings = {"show": 2, "draws": 50, "map": "none", **more}
    return explain(ExplainSettings(tuple(queries), tuple(reference), out, **settings))
