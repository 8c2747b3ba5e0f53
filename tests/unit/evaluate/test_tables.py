"""CSV files and lines for a terminal."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluate.small_results import FIELDS, made
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import measure_classes
from wsi_patches.evaluate.detection import measure_detection
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.predictions_file import read_predictions, write_predictions
from wsi_patches.evaluate.tables import format_metrics, write_confusion, write_metrics, write_per_class


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_metrics_say_value_interval_and_how_many(tmp_path):
    result = measure_detection(FIELDS, draws=30)
    write_metrics(tmp_path / "metrics.csv", result)
    rows = {row.pop("metric"): row for row in rows_of(tmp_path / "metrics.csv")}
    assert rows["true_positives"] == {"value": "3", "low": "", "high": "", "n": "2", "groups": "2"}
    assert float(rows["recall"]["value"]) == pytest.approx(0.6)
    assert float(rows["recall"]["low"]) == pytest.approx(0.5)
    assert float(rows["recall"]["high"]) == pytest.approx(2 / 3, rel=1e-5)


def test_classes_have_tables_of_their_own(tmp_path, rng):
    result = measure_classes(made(rng), draws=20)
    write_per_class(tmp_path / "per_class.csv", result)
    write_confusion(tmp_path / "confusion.csv", result)
    rows = rows_of(tmp_path / "per_class.csv")
    assert [row["class"] for row in rows] == ["a", "b", "c"]
    assert float(rows[1]["roc_auc_low"]) == pytest.approx(result.classes[1].metrics["roc_auc"].interval.low, rel=1e-5)
    assert [int(row["b"]) for row in rows_of(tmp_path / "confusion.csv")] == result.confusion[:, 1].tolist()


def test_undefined_figures_are_empty_in_files_and_words_for_people(tmp_path, rng):
    p = made(rng, 30)
    absent = Predictions((*p.class_names, "none"), p.ids, p.groups, p.truth, np.pad(p.probabilities, ((0, 0), (0, 1))))
    result = measure_classes(absent, draws=10, group_kind="patient")
    write_per_class(tmp_path / "per_class.csv", result)
    last = rows_of(tmp_path / "per_class.csv")[-1]
    assert (last["support"], last["recall"], last["recall_low"]) == ("0", "", "")
    text = "\n".join(format_metrics(result))
    assert "n = 30 patches of 12 patients" in text
    assert "undefined" in text
    assert "warning: No patch is truly none" in text
    assert "10 draws" in text


def test_lines_are_aligned_and_name_every_metric():
    result = measure_detection(FIELDS, draws=30)
    lines = format_metrics(result)
    table = lines[2 : 3 + len(result.metrics)]
    assert len({line.index(figure) for line, figure in zip(table[1:4], ("3", "2", "2"), strict=True)}) == 1
    assert any("count: bias (found - true)" in line for line in table)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@given(st.data(), st.lists(TEXT, min_size=2, max_size=4, unique=True), st.integers(0, 6))
def test_what_is_written_is_read(tmp_path_factory, data, names, n):
    path = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ids, groups = (data.draw(st.lists(TEXT, min_size=n, max_size=n)) for _ in range(2))
    truth = rng.integers(0, len(names), n).astype(np.int32)
    p = rng.dirichlet(np.ones(len(names)), n).astype(np.float32)
    written = Predictions(tuple(names), np.array(ids, np.str_), np.array(groups, np.str_), truth, p)
    write_predictions(path, written)
    read = read_predictions(path)
    assert read.class_names == written.class_names
    assert read.ids.tolist() == written.ids.tolist()
    assert read.groups.tolist() == written.groups.tolist()
    assert (read.truth == truth).all()
    assert (read.probabilities == p).all()


GOOD = "id,group,truth,predicted,p_a,p_b\nx,1,a,a,0.7,0.3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: predictions need the columns"),
        ("id,truth,p_a\n", r"missing: \['group'\]"),
        ("id,group,truth\n", "missing: .*p_<class>"),
        ("id,id,group,truth,p_a\n", r"more than once: \['id'\]"),
        (GOOD + "y,1,c,a,0.7,0.3\n", "line 3, column truth: 'c' is none of the classes"),
        (GOOD + "y,1,a,a,0.7\n", "line 3: 5 cells were found where the header has 6"),
        (GOOD + "y,1,a,a,seven,0.3\n", "line 3, column p_a: a probability .* found 'seven'"),
        (GOOD + "y,1,a,a,nan,0.3\n", "line 3, column p_a"),
        (GOOD + "y,1,a,a,0.7,1.3\n", "line 3, column p_b"),
        (GOOD + "y,1,a,a,0.7,0.1\n", "line 3: the probabilities of 'y' sum to 0.8"),
        (GOOD + '"two\nlines",1,a,a,0,0\n', "line 4: the probabilities of"),
        (GOOD + 'y,1,"a', "not a CSV table"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path, text, message):
    path = tmp_path / "predictions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_predictions(path)


def test_other_programs_tables_are_read(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_bytes("\ufefftruth,p_b,extra,id,p_a,group\r\na,0.25,?,x,0.75,\r\n\r\nb,1,?,y,0,2\r\n".encode())
    read = read_predictions(path)
    assert read.class_names == ("b", "a")
    assert read.groups.tolist() == ["x", "2"]
    assert read.predicted.tolist() == [1, 0]


def test_a_file_that_is_no_text_or_absent_is_named(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("binary.csv", "absent.csv"):
        with pytest.raises(UsageError, match=name):
            read_predictions(tmp_path / name)
