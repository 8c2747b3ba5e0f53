"""``wsi-patches status``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import json_option

if TYPE_CHECKING:
    from wsi_patches.workflows.status import OutputStatus, RunStatus

__all__ = ["command"]

FAILURES_SHOWN = 5
UNITS = (("s", 1), ("min", 60), ("h", 3600))
GO_ON = "go on with the same command and --resume"
DIED_OF = "died without a word: it was killed, or its machine went down"


@click.command(
    "status",
    cls=HelpfulCommand,
    epilog=examples("wsi-patches status counts/", "wsi-patches status patches.zarr --json"),
)
@click.argument("out", type=click.Path(readable=False))
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Print a line for every shard, and every slide that failed.")
def command(out: str, as_json: bool, verbose: bool) -> None:
    """Say what a run has come to, while it runs and afterwards.

    OUT is what extract, infer or run was told to write with -o, or the store that preprocess was given. Exits with 0
    whatever became of the run, and with 2 if OUT is no output.
    """
    from wsi_patches.locations import path_of
    from wsi_patches.workflows.status import read_status

    path = path_of(out)
    outputs = read_status(path)
    if as_json:
        told = [_as_json(one) for one in outputs]
        click.echo(json.dumps(told[0] if outputs[0].out == path else {"out": str(path), "outputs": told}))
        return
    for one in outputs:
        for line in _lines(one, verbose=verbose):
            click.echo(line)


def _as_json(status: OutputStatus) -> dict[str, Any]:
    runs = [
        {**asdict(run), "failures": [dict(zip(("slide", "error"), one, strict=True)) for one in run.failures]}
        for run in status.runs
    ]
    return {
        "out": str(status.out),
        "command": status.runs[0].command if status.runs else None,
        "state": status.state or None,
        "slides": status.slides if status.runs else None,
        "slides_per_s": status.slides_per_s or None,
        "seconds_left": status.seconds_left,
        "shards_not_begun": status.not_begun,
        "runs": runs,
    }


def _lines(status: OutputStatus, *, verbose: bool) -> Iterator[str]:
    """Yield what is to be said of an output."""
    yield f"{status.out}:"
    if not status.runs:
        yield "  no log: it was written before runs had one, or the log was removed"
        return
    if status.runs[0].shard:
        yield from _array(status, verbose=verbose)
    else:
        yield f"  {_run(status.runs[0])}"
    slides = status.slides
    if slides["total"]:
        kept = f" ({slides['kept']} kept from before)" if slides["kept"] else ""
        ended = ", ".join(f"{slides[name]} {name}" for name in ("done", "partial", "failed") if slides[name])
        yield f"  slides: {ended or 'none done'}{kept}, {slides['left']} left of {slides['total']}"
    if status.slides_per_s:
        left = f", about {_duration(status.seconds_left)} left" if status.seconds_left else ""
        yield f"  rate:   {_rate(status.slides_per_s)}{left}"
    yield from _faults(status, verbose=verbose)


def _run(run: RunStatus) -> str:
    """Say in a sentence what became of a run."""
    who = f"{run.command} on {run.host} (process {run.pid})" + (f" with cluster {run.cluster}" if run.cluster else "")
    told = {
        "starting": f"started at {_clock(run.since)}, looking at its slides",
        "running": f"running since {_clock(run.since)}, last heard of at {_clock(run.last)}",
        "finished": f"finished at {_clock(run.last)}, begun at {_clock(run.since)}",
        "stopped": f"stopped at {_clock(run.last)}: {run.error}; {GO_ON}",
        "died": f"{DIED_OF}, last heard of at {_clock(run.last)}; {GO_ON}",
    }
    return f"{who}: {told[run.state]}"


def _array(status: OutputStatus, *, verbose: bool) -> Iterator[str]:
    """Yield what became of the shards of a job array, named where somebody has to do something about them."""
    states = Counter(run.state for run in status.runs)
    told = [f"{count} {state}" for state, count in states.items()]
    told += [f"{status.not_begun} not begun"] if status.not_begun else []
    of = len(status.runs) + status.not_begun
    yield f"  {status.runs[0].command} in {of} shards: {', '.join(told)}"
    for run in status.runs:
        if verbose or run.state in ("stopped", "died"):
            ended = sum(run.statuses.values())
            yield f"  shard {run.shard}: {ended} of {run.slides} slides; {_run(run)}"


def _faults(status: OutputStatus, *, verbose: bool) -> Iterator[str]:
    """Yield what went wrong."""
    faults = {
        "tasks tried again": sum(run.retried for run in status.runs),
        "tasks given up": sum(run.given_up for run in status.runs),
        "workers lost": sum(run.workers_lost for run in status.runs),
    }
    if any(faults.values()):
        yield f"  lost:   {', '.join(f'{count} {name}' for name, count in faults.items() if count)}"
    failures = [failure for run in status.runs for failure in run.failures]
    shown = failures if verbose else failures[-FAILURES_SHOWN:]
    if len(failures) > len(shown):
        yield f"  the last {len(shown)} of {len(failures)} slides that failed (see them all with -v):"
    for slide_id, error in shown:
        yield f"  failed: {slide_id}: {error}"


def _clock(time: str) -> str:
    """Return a time of the log for people."""
    return f"{time[:10]} {time[11:19]} UTC"


def _rate(per_s: float) -> str:
    unit, seconds = next((one for one in UNITS if per_s * one[1] >= 1), UNITS[-1])
    return f"{per_s * seconds:.3g} slides/{unit}"


def _duration(seconds: float | None) -> str:
    """Return a time span as people say it."""
    minutes = round((seconds or 0) / 60)
    if minutes < 1:
        return "a minute"
    return (
        f"{minutes} min"
        if minutes < 120
        else f"{minutes / 60:.1f} h"
        if minutes < 2880
        else f"{minutes / 1440:.1f} days"
    )
