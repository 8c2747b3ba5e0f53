"""A command that is stopped with Ctrl-C says how to go on, if there is a way."""

import pytest
from click.testing import CliRunner

from wsi_patches.cli.main import main


@pytest.mark.parametrize(
    ("words", "work", "told"),
    [
        (
            ["probe", "cells.zarr", "-o", "out"],
            "wsi_patches.workflows.probe.probe_store",
            "give the same command again",
        ),
        (["effect", "cells.zarr", "-o", "out"], "wsi_patches.workflows.effect.measure_step", "go on with --resume"),
    ],
)
def test_a_stopped_command_offers_resume_where_it_has_it(words, work, told, monkeypatch):
    def stopped(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, stopped)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130
    assert done.output == f"Stopped. What is complete stays; {told}.\n"
