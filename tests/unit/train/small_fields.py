"""A few painted fields of a few cells each, as small as can be found and told apart."""

from wsi_patches.geometry import Size
from wsi_patches.synthetic import AllIdbField, SmearSettings

SIZE = Size(420, 320)


def painted_fields(count, seed=50, blasts=5, others=5):
    """Return fields of patients and of healthy people in turn."""
    fields = []
    for index in range(count):
        leukemic = index % 2 == 0
        settings = SmearSettings.random(
            seed + index,
            cell_diameter_px=36.0,
            blasts=blasts if leukemic else 0,
            others=others if leukemic else blasts + others,
            touching=0.0,
        )
        fields.append(AllIdbField(1 + index if leukemic else 63 + index, leukemic, settings, SIZE))
    return fields
