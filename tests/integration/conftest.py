"""What tests of pages share: a real browser."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
NARROWEST_PX = 320
"""WCAG 2.2, success criterion 1.4.10: no scrolling in two directions at this width."""


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, where it and Playwright are installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def show(browser):
    """Open a file in a tab, and insist in the end that nothing was complained of or asked for."""
    said, asked, tabs = [], [], []

    def opened(path, **how):
        tab = browser.new_page(**how)
        tabs.append(tab)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        return tab

    yield opened
    files = [tab.url for tab in tabs]
    for tab in tabs:
        tab.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == files
