"""What tests ask of a page: its outline, its tables, its pictures."""

import itertools
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "rect", "line", "br"}


class Page(HTMLParser):
    """A page taken apart; an element that is closed by another's end is an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.headings, self.texts = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)


def check_readable(text):
    """Assert what a screen reader needs, and return the page."""
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(one["alt"].strip() for one in page.all("img"))
    assert all(one["aria-label"].strip() for one in page.all("svg"))
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert page.all("main")
    assert "research use only" in page.text
    return page
