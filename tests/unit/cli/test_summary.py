"""What a batch says at its end."""

import json

import click
import pytest
from click.testing import CliRunner

from wsi_patches.cli.summary import finish
from wsi_patches.outcome import Outcome

DONE = Outcome("a", "a.svs", "done", 5, warnings=("pale stain",))
PARTIAL = Outcome("b", "b.svs", "partial", 5, 1, warnings=("pale stain", "soft"))
FAILED = Outcome.failed("c", "c.svs", "c.svs is empty")


def told(outcomes, **options):
    @click.command()
    def command():
        finish(outcomes, ["a line"], {"out": "o"}, **options)

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("outcomes", "options", "code"),
    [
        ([DONE], {}, 0),
        ([DONE, PARTIAL], {}, 0),
        ([DONE, PARTIAL], {"strict": True}, 1),
        ([DONE, FAILED], {}, 1),
        ([DONE, FAILED], {"as_json": True}, 1),
    ],
)
def test_exit_codes(outcomes, options, code):
    assert told(outcomes, **options).exit_code == code


def test_the_same_warning_of_many_slides_is_said_once():
    output = told([DONE, PARTIAL, FAILED]).output
    assert "slides: 1 done, 1 partial, 1 failed" in output
    assert output.count("pale stain") == 1
    assert "warning: 2 slides: pale stain" in output
    assert "warning: b: soft" in output
    assert "failed: c: c.svs is empty" in output


def test_json_is_all_that_is_on_stdout():
    result = told([DONE, FAILED], as_json=True)
    summary = json.loads(result.stdout)
    assert summary["exit_code"] == 1
    assert [one["status"] for one in summary["slides"]] == ["done", "failed"]


def test_quiet_says_errors_only():
    assert told([DONE, FAILED], quiet=True).output == "failed: c: c.svs is empty\n"
