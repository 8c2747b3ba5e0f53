"""What a site may ask of SLURM's jobs, and what becomes of it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.executors import DaskExecutor, Site, make_executor
from wsi_patches.executors.site import walltime_seconds
from wsi_patches.executors.slurm import _job_settings
from wsi_patches.recipe import settings_from


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_walltimes_are_read_as_slurm_reads_them(days, hours, minutes, seconds):
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert walltime_seconds(f"{days}-{hours}:{minutes:02}:{seconds:02}") == total
    assert walltime_seconds(f"{24 * days + hours}:{minutes:02}:{seconds:02}") == total


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 5400), ("2:30", 150), ("1-12", 129600), ("1-12:30", 131400), ("01:00:00", 3600)]
)
def test_short_walltimes(written, seconds):
    assert walltime_seconds(written) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"cores": 0},
        {"jobs": 0},
        {"gpus": -1},
        {"memory": "much"},
        {"memory": "16"},
        {"walltime": "tomorrow"},
        {"walltime": "0"},
        {"walltime": "00:02:00", "drain_s": 120},
        {"cores": 4, "processes": 3},
        {"cores": 4, "processes": 2, "gpus": 1},
        {"jobs": 2, "minimum_jobs": 3},
        {"cores": 4, "processes": 2, "jobs": 2, "minimum_jobs": 1},
        {"scheduler_port": 70000},
        {"wait_s": 0},
    ],
    ids=str,
)
def test_what_no_job_can_be_is_refused_by_its_name(wrong):
    with pytest.raises(UsageError, match=r"site\.(" + "|".join(wrong) + ")"):
        Site(**wrong)


def test_a_recipe_may_hold_it():
    site = settings_from(Site, {}, {"queue": "long", "prologue": ["module load cuda"], "gpus": 1, "wait_s": 60})
    assert site == Site(queue="long", prologue=("module load cuda",), gpus=1, wait_s=60.0)


def job_script(site):
    from dask_jobqueue.slurm import SLURMJob

    cluster = {"silence_logs", "scheduler_options"}
    settings = {name: value for name, value in _job_settings(site).items() if name not in cluster}
    return SLURMJob("tcp://login:8786", "worker", **settings).job_script()


def test_a_job_asks_for_what_the_site_says():
    site = Site(
        queue="gpu",
        account="lab",
        cores=8,
        memory="30GB",
        walltime="00:40:00",
        gpus=1,
        prologue=("module load cuda",),
        directives=("--exclusive",),
        interface="ib0",
        local_directory="/scratch",
        python="/opt/python",
    )
    script = job_script(site)
    for line in ("-p gpu", "-A lab", "--cpus-per-task=8", "--mem=28G", "-t 00:40:00", "--gres=gpu:1", "--exclusive"):
        assert f"#SBATCH {line}\n" in script
    *before, worker = script.strip().splitlines()
    assert before[-1] == "module load cuda"
    assert worker.startswith("exec /opt/python -m distributed.cli.dask_worker tcp://login:8786 ")
    for words in ("--nthreads 8", "--resources GPU=1", "--interface ib0", "--local-directory /scratch", "--nanny"):
        assert words in worker


def test_workers_of_a_job_have_the_settings_of_local_ones():
    lines = job_script(Site()).splitlines()
    assert "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False" in lines
    assert "export MALLOC_TRIM_THRESHOLD_=134217728" in lines


def test_a_job_without_a_gpu_has_none_and_keeps_no_log():
    script = job_script(Site(cores=4, processes=4))
    assert "GPU" not in script
    assert "gres" not in script
    assert "#SBATCH --output=/dev/null" in script
    assert "--nworkers 4" in script
    assert "--nthreads 1" in script


def test_workers_are_jobs():
    executor = make_executor(3, "slurm", Site(cores=8, jobs=10, minimum_jobs=5))
    assert isinstance(executor, DaskExecutor)
    assert executor.workers == 24
    assert make_executor(None, "slurm", Site(cores=2, jobs=5)).workers == 10


def test_where_there_is_no_slurm_that_is_said_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no sbatch here"), make_executor(None, "slurm"):
        pytest.fail("it was opened")


def test_without_dask_jobqueue_it_is_said_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with pytest.raises(MissingExtra, match=r"wsi-patches\[cluster\]"), make_executor(None, "slurm"):
        pytest.fail("it was opened")
