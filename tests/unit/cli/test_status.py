"""`wsi-patches status`: sentences for people, JSON for scripts, exit codes."""

import json

import pytest
from click.testing import CliRunner

from wsi_patches.cli import main
from wsi_patches.outcome import DONE, Outcome
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog
from wsi_patches.workflows.shards import Shard


def told(*arguments, code=0):
    result = CliRunner().invoke(main, ["status", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def begun(out, shard=None, slides=9):
    return RunLog.open(out, "infer", {}, slides=slides, tasks=9, slides_in_all=9, shard=shard, cluster="slurm")


def test_a_run_that_goes_on(tmp_path):
    with lock_output(tmp_path, "infer", {}), begun(tmp_path) as log:
        log.slide(Outcome("a", "a", DONE))
        log.lost("b", ["b"], "worker died", again=True)
        for number in range(6):
            log.slide(Outcome.failed(f"f{number}", "f", "torn"))
        text = told(tmp_path)
        told_json = json.loads(told(tmp_path, "--json"))
        assert "with cluster slurm: running since" in text
        assert "slides: 1 done, 6 failed, 2 left of 9" in text
        assert "rate: " in text
        assert " left\n" in text
        assert "1 tasks tried again" in text
        assert "the last 5 of 6 slides" in text
        assert "failed: f0" not in text
        assert "failed: f0: torn" in told(tmp_path, "-v")
    assert told_json["state"] == "running"
    assert told_json["slides"] == {"total": 9, "done": 1, "partial": 0, "failed": 6, "kept": 0, "left": 2}
    assert told_json["runs"][0]["failures"][0] == {"slide": "f0", "error": "torn"}
    assert "finished at" in told(tmp_path)


def test_a_run_that_was_killed_is_gone_on_with(tmp_path):
    begun(tmp_path)._file.close()
    assert "died without a word" in told(tmp_path)
    assert "--resume" in told(tmp_path)
    assert "none done, 9 left of 9" in told(tmp_path)


def test_a_job_array_names_the_shards_that_need_somebody(tmp_path):
    with begun(tmp_path, Shard(1, 3), 3) as log:
        log.slide(Outcome("a", "a", DONE))
    begun(tmp_path, Shard(2, 3), 3)._file.close()
    text = told(tmp_path)
    assert "infer in 3 shards: 1 finished, 1 died, 1 not begun" in text
    assert "shard 2/3: 0 of 3 slides" in text
    assert "shard 1/3" not in text
    assert "shard 1/3: 1 of 3 slides" in told(tmp_path, "-v")
    assert json.loads(told(tmp_path, "--json"))["shards_not_begun"] == 1


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_what_is_no_output_is_wrong_usage(tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert "Error: " in told(tmp_path / name, code=2)


def test_an_output_without_a_log_and_a_folder_of_outputs(tmp_path):
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / "counts.csv").write_text("")
    assert "no log" in told(tmp_path)
    assert [one["state"] for one in json.loads(told(tmp_path, "--json"))["outputs"]] == [None]
    assert json.loads(told(tmp_path / "counts", "--json"))["state"] is None
