"""What people do in Prefect's UI, in a headless Chromium: fill in the form, watch, read the report, retry.

Pictures go to the test's folder, or to ``$TAD_SCREENSHOTS``: those in docs/images were made so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = [pytest.mark.services, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
#: A busy machine shows a page late; nothing here is about speed.
PATIENCE_MS = 120_000


class Browser:
    """One page of the UI, cut off from every host but this one."""

    def __init__(self, page: Any, cluster: Any, pictures: Path) -> None:
        self.page, self.cluster, self.pictures = page, cluster, pictures
        self.outside: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.route("**/*", self._only_here)

    def _only_here(self, route: Any) -> None:
        url = route.request.url
        if urlsplit(url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            self.outside.append(url)
            route.abort()

    def open(self, path: str, text: str) -> None:
        """A page of the UI, once it shows ``text``."""
        self.page.goto(self.cluster.url + path)
        self.page.get_by_text(text, exact=True).first.wait_for()
        self.page.wait_for_load_state("networkidle")

    def picture(self, name: str, part: Any = None) -> None:
        """What can be seen now, or the whole of a part of the page."""
        (part or self.page).screenshot(path=self.pictures / f"{name}.png", animations="disabled")

    def field(self, label: str, inside: str = "") -> Any:
        """The innermost field of the run form with that label, or of that in a field around it."""
        words = f"normalize-space()='{label}' or normalize-space()='{label} (Optional)'"
        title = f"xpath=./div[contains(@class,'p-label__header')]//span[{words}]"
        around = self.field(inside) if inside else self.page
        return around.locator(".schema-form-property", has=self.page.locator(title)).last

    def choose(self, label: str, option: str, inside: str = "") -> None:
        """An entry of a field that is a list of choices."""
        self.field(label, inside).locator("button.p-select-button__control").focus()
        self.page.keyboard.press("ArrowDown")
        self.page.get_by_role("option", name=option, exact=True).click()

    def submit(self) -> Any:
        """Press Submit; the server's answer."""
        with self.page.expect_response(lambda reply: "create_flow_run" in reply.url) as caught:
            self.page.get_by_role("button", name="Submit").click()
        return caught.value


@pytest.fixture
def browser(postgres_cluster: Any, tmp_path: Path) -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e .[services]")
    pictures = Path(os.environ.get("TAD_SCREENSHOTS", tmp_path))
    with playwright.sync_playwright() as play:
        # Without its own sandbox, which root has not; it shows pages of this machine alone.
        chromium = play.chromium.launch(
            executable_path=os.environ.get("TAD_TEST_CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 960})
        yield Browser(page, postgres_cluster, pictures)
        chromium.close()


def test_fill_in_the_form_watch_it_complete_and_open_the_report(browser: Browser) -> None:
    cluster, page = browser.cluster, browser.page
    cluster.deploy()
    cluster.worker("tad-gpu")

    # A wrong value is refused in the form, before there is a run.
    browser.open(f"/deployments/deployment/{cluster.deployment('tad/pipeline')['id']}/run", "Run Name")
    browser.picture("ui-form")
    browser.choose("preset", "smoke")
    browser.field("Samples").locator("input").fill("65")
    assert browser.submit().status == 409
    page.get_by_text("65 is greater than the maximum of 64").first.wait_for()
    browser.picture("ui-form-refused")
    page.get_by_text("65 is greater than the maximum of 64").first.wait_for(state="hidden")

    # Put right, and a choice and a number on top of the preset; everything else stays empty.
    browser.field("Samples").locator("input").fill("1")
    browser.field("Learning Rate").locator("input").fill("0.002")
    browser.choose("Schedule", "cosine")
    # Data of one's own instead of the preset's, and a name of one's own.
    browser.field("Data").get_by_role("button", name="Add item").click()
    browser.field("Name", inside="Data").locator("textarea, input").first.fill("mine")
    browser.choose("Source", "arithmetic", inside="Data")
    browser.field("Count", inside="Data").locator("input").fill("6")
    options = browser.field("Options", inside="Data")
    options.get_by_role("button", name="Add item").click()
    options.locator("textarea, input").first.fill("max_steps=2")
    browser.picture("ui-form-data", browser.field("Data"))
    browser.choose("Models", "base")
    page.get_by_role("option", name="speed", exact=True).click()
    page.keyboard.press("Escape")
    page.locator("input").first.fill("own words")
    started = browser.submit()
    assert started.status == 201
    run = started.json()
    assert run["name"] == "own words"
    assert run["parameters"]["preset"] == "smoke"
    distill = run["parameters"]["changes"]["distill"]
    assert run["parameters"]["changes"]["rollout"]["samples"] == 1
    assert (distill["learning_rate"], distill["schedule"]) == (0.002, "cosine")
    assert run["parameters"]["changes"]["evaluate"]["models"] == ["base", "speed"]
    (source,) = run["parameters"]["changes"]["data"]
    assert source == {"name": "mine", "source": "arithmetic", "count": 6, "options": ["max_steps=2"]}

    # Watched in the UI alone until it says Completed.
    browser.open(f"/runs/flow-run/{run['id']}", "tad")
    page.get_by_text("Running", exact=True).first.wait_for(timeout=30 * 60_000)
    page.wait_for_timeout(20_000)
    browser.picture("ui-running")
    done = page.get_by_text("Completed", exact=True).or_(page.get_by_text("Failed", exact=True))
    done.first.wait_for(timeout=30 * 60_000)
    state = cluster.run(run["id"])["state"]
    assert state["type"] == "COMPLETED", (state["message"], cluster.log("worker"))
    assert cluster.run(run["id"])["name"] == "own words"
    browser.open(f"/runs/flow-run/{run['id']}", "Completed")
    page.wait_for_timeout(4000)  # until the graph has come to rest
    browser.picture("ui-completed")

    # The report with its pictures, from the run's artifacts.
    report = cluster.artifacts(run["id"])["report"]["id"]
    page.get_by_text("Artifacts", exact=True).first.click()
    link = page.locator(f"a[href$='{report}']").first
    link.wait_for()
    shown = page.locator("a[href*='/artifacts/artifact/']").first
    assert shown.get_attribute("href").endswith(report), "the report comes first"
    browser.picture("ui-artifacts")
    link.click()
    pictures = page.locator("img[src^='data:image/png']")
    pictures.first.wait_for()
    widths = pictures.evaluate_all("all => all.map(image => image.naturalWidth)")
    assert len(widths) >= 4 and min(widths) > 100, "the pictures are inside, and shown"
    browser.picture("ui-report")
    browser.open("/deployments", "pipeline")
    browser.picture("ui-deployments")
    assert browser.outside == [], "the UI asked nobody outside"


def test_retry_of_a_failed_run_computes_the_missing_shard_alone(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tad_core.config import load_config
    from tad_core.stages.pipeline import plan_of

    cluster, page = browser.cluster, browser.page
    cluster.deploy()
    cluster.worker("tad-gpu")
    monkeypatch.chdir(ROOT)
    plan = plan_of(load_config(Path(__file__).parent / "presets" / "smoke.yaml"))
    shards = cluster.store / "runs" / "smoke" / "collect" / plan.fingerprint
    in_the_way = shards / f"{plan.shards[1].name}.json"
    in_the_way.mkdir(parents=True)  # a file cannot take the place of a folder

    run = cluster.finished(cluster.start("tad-collect/collect", preset="smoke").json()["id"])
    assert run["state"]["type"] == "FAILED" and plan.shards[1].name in run["state"]["message"]
    made = {file: file.stat().st_mtime_ns for file in shards.glob("*.json") if file.is_file()}
    assert len(made) == 2, "the others went on"
    in_the_way.rmdir()

    browser.open(f"/runs/flow-run/{run['id']}", "Failed")
    browser.picture("ui-failed")
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("button", name="Retry").last.click()
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=30 * 60_000)
    page.wait_for_timeout(2000)
    browser.picture("ui-retried")

    again = cluster.run(run["id"])
    assert again["state"]["type"] == "COMPLETED" and again["run_count"] == 2, "the same run"
    after = {file: file.stat().st_mtime_ns for file in shards.glob("privileged-*.json")}
    assert len(set(after) - set(made)) == 1, "one shard was computed"
    assert all(after[file] == when for file, when in made.items()), "and no other touched"
    assert set(cluster.artifacts(run["id"])) == {"collect-progress", "throughput"}, "none twice"
