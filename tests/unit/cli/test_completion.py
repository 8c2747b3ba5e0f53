"""The tabulator key: commands, options, choices, names and files, without loading what is heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete
from click.testing import CliRunner

from tests.conftest import ROOT
from wsi_patches.cli import suggestions
from wsi_patches.cli.main import COMMANDS, main

CASES = {
    "": list(COMMANDS),
    "in": ["infer", "inspect"],
    "infer --me": ["--method"],
    "infer --method ": ["cells", "patches", "detector"],
    "export patches.zarr --format im": ["imagefolder"],
    "extract slides/ --codec l": ["lz4"],
    "infer --model ": ["painted-cells-lbp"],
    "infer --finder ": ["white-cells", "classical"],
    "infer --shard 1/2 --ver": ["--verbose"],
    "preprocess patches.zarr --recipe ": ["adaptive_unsharpening"],
    "train all_idb1_b": ["all_idb1_blasts"],
    "train all_idb1_p": [],
    "run dem": ["demo", "demo_cells"],
    "run demo --cluster s": ["slurm"],
    "completion ": ["bash", "zsh", "fish"],
}
FILES = ("extract ", "infer slide.tif -o ", "infer --model weights/", "verify p", "status ", "train ./my")
HEAVY = ("torch", "dask", "zarr", "openslide", "cv2", "pyarrow", "pydantic", "numpy", "yaml")


def completed(line, shell=BashComplete):
    *words, begun = line.split(" ")
    return shell(main, {}, "wsi-patches", "_WSI_PATCHES_COMPLETE").get_completions(words, begun)


@pytest.mark.parametrize("line", CASES)
def test_what_is_offered(line):
    offered = [one.value for one in completed(line) if one.type == "plain"]
    assert offered == CASES[line]


@pytest.mark.parametrize("line", FILES)
def test_files_are_left_to_the_shell(line):
    assert [one.type for one in completed(line)] == ["file"]


def test_words_stand_for_the_tables_that_are_too_heavy_to_load():
    from wsi_patches.models.encoders import ENCODERS
    from wsi_patches.slides import READERS
    from wsi_patches.workflows.colour import METHODS

    assert set(suggestions.READERS) == {"auto", *READERS}
    assert set(suggestions.COLOURS) == set(METHODS)
    assert set(suggestions.ENCODERS) == set(ENCODERS)


def test_nothing_heavy_is_loaded():
    code = (
        "import json, sys; from wsi_patches.cli.main import main\n"
        "from click.shell_completion import BashComplete\n"
        "shell = BashComplete(main, {}, 'wsi-patches', '_WSI_PATCHES_COMPLETE')\n"
        f"for line in {[*CASES, *FILES]!r}:\n"
        "    *words, begun = line.split(' '); shell.get_completions(words, begun)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("shell", [BashComplete, ZshComplete, FishComplete])
def test_the_command_prints_the_script_of_a_shell(shell):
    done = CliRunner().invoke(main, ["completion", shell.name], prog_name="wsi-patches")
    assert done.exit_code == 0
    assert f"_WSI_PATCHES_COMPLETE={shell.name}_complete" in done.output
    assert "wsi-patches" in done.output


def test_an_unknown_shell_is_wrong_usage():
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


def in_bash(*words):
    """Let bash itself complete the last of the words."""
    typed = " ".join(f"'{word}'" for word in words)
    script = (
        f"source <(wsi-patches completion bash); COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; "
        "_wsi_patches_completion wsi-patches; printf '%s\\n' \"${COMPREPLY[@]}\"; complete -p wsi-patches"
    )
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
    )
    *offered, registered = done.stdout.splitlines()
    assert "_wsi_patches_completion" in registered
    return offered


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_a_real_bash_completes():
    assert in_bash("wsi-patches", "ver") == ["verify"]
    assert in_bash("wsi-patches", "export", "a.zarr", "--format", "w") == ["webdataset"]
