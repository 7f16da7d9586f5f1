"""The page, without and with a browser."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tad_core.serving.app import PAGE
from tests.waiting import CEILING_S, get


def test_it_is_one_file_that_asks_this_server_alone(server):
    answer = get(server[0])
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert answer.text == PAGE.read_text(encoding="utf-8")
    assert not re.search(r"https?://|src=|<link|@import|url\(", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.services
def test_a_browser_shows_every_model_decoding(server, models, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e .[services]")
    pictures = Path(os.environ.get("TAD_SCREENSHOTS", tmp_path))
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=os.environ.get("TAD_TEST_CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1100, "height": 760})
        page.set_default_timeout(CEILING_S * 1000)
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(server[0])
        page.get_by_text("dream").wait_for()
        page.get_by_label("Prompt").fill("hello")
        page.get_by_role("button", name="Decode").click()
        page.locator("section[data-done]").nth(1).wait_for()
        for section, served in zip(page.locator("section").all(), models, strict=True):
            assert section.get_by_role("heading").inner_text() == served.name
            assert "tokens a forward" in section.locator(".figures").inner_text()
        page.screenshot(path=pictures / "serve.png")
        page.get_by_label("tokens").fill("100000")
        page.get_by_role("button", name="Decode").click()
        page.get_by_text("shorten the prompt or max_tokens").nth(1).wait_for()
        chromium.close()
    assert [text for text in wrong if "400" not in text] == []
