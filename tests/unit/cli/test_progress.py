"""Progress on a terminal, and nowhere else."""

import io
import sys

import pytest

from wsi_patches.cli.progress import progress_bar, progress_lines, slide_line
from wsi_patches.outcome import DONE, PARTIAL, Interval, Outcome, SlideReport


class Screen(io.StringIO):
    """What stands for stderr."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def looked_at(monkeypatch):
    """Put a screen, or a file, in the place of stderr; pytest would undo that before the test if it were done here."""

    def put(*, terminal=True):
        screen = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("COLUMNS", "60")
        return screen

    return put


def run(**options):
    with progress_lines("slides", **options) as watch:
        watch.say("dashboard: http://127.0.0.1:8787/status")
        watch.slide(Outcome("Im001_1", "a.tif", DONE, patches=130))
        if watch.progress is not None:
            watch.progress(1, 2)


def test_on_a_terminal_lines_stand_above_the_bar(looked_at):
    screen = looked_at()
    run()
    shown = screen.getvalue()
    assert "dashboard: http://127.0.0.1:8787/status\n" in shown
    assert "done    Im001_1  130 patches\n" in shown
    assert "1/2" in shown


@pytest.mark.parametrize(("terminal", "options"), [(False, {}), (True, {"quiet": True})])
def test_nothing_is_shown_where_nobody_watches(looked_at, terminal, options):
    screen = looked_at(terminal=terminal)
    run(**options)
    with progress_bar("patches", **options) as progress:
        assert progress is None
    assert screen.getvalue() == ""


def test_a_long_error_and_brackets_stay_as_they_are(looked_at):
    screen = looked_at()
    error = "[red]cannot be read[/red]: " + "very " * 30 + "broken"
    with progress_lines("slides") as watch:
        watch.slide(Outcome.failed("a[1]", "a.tif", error))
    assert f"failed  a[1]  {error}\n" in screen.getvalue()


def test_what_a_line_says():
    counted = SlideReport("a", "a", PARTIAL, blasts=Interval(7.6, 5, 9), white_cells=Interval(12, 9, 14))
    assert slide_line(counted) == "partial a  8 blasts, 12 white cells"
    told = SlideReport("a", "a", DONE, white_cells=Interval(3, 1, 5), patches_failed=2, extra={"seconds": 1.26})
    assert slide_line(told) == "done    a  3 white cells, 2 places unreadable, 1.3 s"
    assert slide_line(Outcome("a", "a", PARTIAL, 5, 2)) == "partial a  5 patches, 2 places unreadable"
    assert slide_line(Outcome.failed("a", "a", "torn")) == "failed  a  torn"
