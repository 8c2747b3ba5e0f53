"""Histories and pages say how it went."""

import csv
import sys
from html.parser import HTMLParser

import pytest

from wsi_patches.errors import MissingExtra
from wsi_patches.train.curves import draw_curves, write_training_page
from wsi_patches.train.logs import Epoch, TrainingLog, write_history

HISTORY = [
    Epoch(number, 1 / number, 0.01, {"loss": 1.5 / number, "balanced_accuracy": 0.5 + number / 20}, 61.0)
    for number in range(1, 5)
]


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_history_has_a_row_an_epoch(tmp_path):
    write_history(tmp_path / "history.csv", HISTORY)

    read = rows(tmp_path / "history.csv")
    assert list(read[0]) == ["epoch", "train_loss", "learning_rate", "seconds", "loss", "balanced_accuracy"]
    assert [float(row["loss"]) for row in read] == [epoch.figures["loss"] for epoch in HISTORY]


def test_tensorboard_is_told_each_epoch_and_forgets_what_a_kill_undid(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TrainingLog(tmp_path)
    log.tell(HISTORY[:1])
    log.tell(HISTORY[:2])
    log.close()
    resumed = TrainingLog(tmp_path, HISTORY[:1])
    assert len(rows(tmp_path / "history.csv")) == 1
    resumed.tell(HISTORY[:2])
    resumed.tell(HISTORY[:3])
    resumed.close()

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [one.step for one in events.Scalars("loss")] == [1, 2, 3]
    assert events.Scalars("balanced_accuracy")[1].value == pytest.approx(0.6)


def test_without_tensorboard_there_is_the_history(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    log = TrainingLog(tmp_path)
    log.tell(HISTORY)
    log.close()

    assert [one.name for one in tmp_path.iterdir()] == ["history.csv"]


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts, self.sources = [], []

    def handle_data(self, data):
        self.texts.append(data.strip())

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_tells_what_was_kept_and_needs_no_other_file(tmp_path):
    details = {"optimizer": "adamw", "data": "<b>cells</b> & more"}
    write_training_page(tmp_path / "a.html", "Blasts <1>", HISTORY, 3, details, ["patients unknown"])

    page = Texts()
    page.feed((tmp_path / "a.html").read_text(encoding="utf-8"))
    told = [text for text in page.texts if text]
    for wanted in ("Blasts <1>", "3 of 4", "validation balanced accuracy", "0.65", "4 min 4 s", "<b>cells</b> & more"):
        assert wanted in told
    assert "patients unknown" in told
    assert sorted(source[:22] for source in page.sources) == ["data:,", "data:image/png;base64,"]  # an empty icon first


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], [Epoch(1, 0.5, 0.1, {"loss": 1.0})]])
def test_curves_are_drawn_of_any_history(history):
    assert draw_curves(history, 1).startswith(b"\x89PNG")


def test_without_matplotlib_the_page_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(MissingExtra, match="the training page needs matplotlib"):
        draw_curves(HISTORY, 1)
