"""How help is laid out: a long command's options under headings, and examples as they are typed."""

from __future__ import annotations

import click

__all__ = ["HEADINGS", "HelpfulCommand", "examples"]

PRINTED = "What is printed"
"""And what else is there, such as --help, whose name is click's affair."""
SHORT = 10
"""A command with fewer options than this needs no headings."""
HEADINGS = {
    "Output": "out format annotations_format image quality codec shard_patches features box_px write_calibration fsync "
    "resume overwrite dry_run",
    "What is read": "layout slide_mpp reader channels annotations attribute_columns attributes order data source "
    "patches labels",
    "Patches": "patch_size patch_px overlap stride level mpp magnification edge tolerance foreground where label_by "
    "target",
    "Focus and colour": "focus sharpen step mask_by keep amount colour colour_reference out_of_focus",
    "Clusters": "clusters first half_life",
    "Models": "model method ensemble tta finder patch_calibration encoder network how weights layer epochs cells tune "
    "tune_space start lora",
    "Neighbours": "reference k tie space approximate_above cell_diameters",
    "Classifier and selection": "classifier rank select population generations price",
    "Pictures": "cam pool map show top",
    "Measuring": "radius threshold positive min_blasts repetitions draws",
    "Groups and splits": "group_table group_pattern group_by split shares folds by use copies seed",
    "Running": "recipe workers cluster shard device precision backend compile batch_size",
    PRINTED: "as_json strict quiet verbose",
}
"""Heading to the names of the options that stand under it: a name means one thing in every command."""


class HelpfulCommand(click.Command):
    """A command whose options stand under the headings of `HEADINGS` where it has many."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        if len(options) < SHORT:
            super().format_options(ctx, formatter)
            return
        under = {name: heading for heading, names in HEADINGS.items() for name in names.split()}
        for heading in HEADINGS:
            records = [one.get_help_record(ctx) for one in options if under.get(str(one.name), PRINTED) == heading]
            if records:
                with formatter.section(heading):
                    formatter.write_dl([record for record in records if record is not None])


def examples(*lines: str, note: str = "") -> str:
    """Return an epilog for click: command lines, one a line, and below them a paragraph."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    told = "\n".join(("\b", heading, *(f"  {line}" for line in lines)))
    return f"{told}\n\n{note}" if note else told
