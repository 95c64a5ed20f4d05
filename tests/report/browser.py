"""A headless browser without a network: a Chromium on the path, or the one that playwright installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; a test that needs it is skipped, with the reason, where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra 'test')")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with api.sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("there is no Chromium: apt install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that was opened from disk, with all that it complained of.

    Attributes:
        page: Playwright's page.
        complaints: What it logged to the console, what it threw, and what it asked the network for.
    """

    def __init__(self, browser: Any, path: Path, hash: str = "", **context: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1400, "height": 900}} | context))
        self.complaints: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri() + hash)

    def _note(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.complaints.append(f"asks for {request.url}")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def nodes(self) -> list[str]:
        """The labels of the nodes that the graph shows."""
        return list(self.page.locator("#graph g.node .name").all_text_contents())

    def n_edges(self) -> int:
        return int(self.page.locator("#graph path.edge").count())
