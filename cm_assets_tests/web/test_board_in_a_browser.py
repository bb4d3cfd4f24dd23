"""The board in a real Chromium, in front of a real engine: from the form to the post, by hand and by keys.

What is seen on the way lies in `build/screenshots`.
"""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cm_assets_tests.conftest import SHORT, Home, until
from cm_assets_tests.emulators.openai_server import OpenAIServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}

LONG = 120_000
"""Milliseconds in which an engine makes a short video on a busy machine."""


@dataclass
class Board:
    """`cm up` with the board in front of it."""

    home: Home
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, **request: Any) -> str:
        answer = httpx.post(f"{self.url}/videos", json=SHORT | request, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def status(self, video: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/videos/{video}", timeout=60).json()
        return found

    def reaches(self, video: str, state: str) -> dict[str, Any]:
        assert until(lambda: self.status(video)["state"] == state, 120, 0.5), self.status(video)
        return self.status(video)


def serve(home: Home, log: str) -> tuple[str, subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = home.start("serve", "--port", str(port), log=log)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False

    assert until(answers, 60), home.log(log)
    return url, process


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    home = Home(tmp_path_factory.mktemp("board"))
    with OpenAIServer() as server:
        home.variables |= {"OPENAI_BASE_URL": server.base_url, "CM_OPENAI_MODEL": "m", "CM_PRICES": "m=0.25/2.00"}
        up = home.start("up", "--port", "0")
        try:
            assert until(lambda: "http://" in home.log(), 90), home.log()
            home.variables["CM_DAGSTER_URL"] = next(one for one in home.log().split() if one.startswith("http://"))
            url, process = serve(home, "serve.log")
            yield Board(home, url, process)
        finally:
            for one in (process, up):
                one.send_signal(signal.SIGINT)
                one.wait(15)
            home.kill_everything()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "no chromium is installed: apt-get install chromium"
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield one
        one.close()


@dataclass
class Person:
    """Somebody in front of the board.

    Attributes:
        said: what the console said that it should not.
    """

    page: "Page"
    size: str
    said: list[str] = field(default_factory=list)

    def sees(self, text: str, within: int = LONG) -> None:
        self.page.get_by_text(text, exact=False).locator("visible=true").first.wait_for(timeout=within)

    def comes(self, condition: str, seconds: float = 60) -> None:
        """Wait for a condition in the page. (Playwright's own way to do so is what the page's policy forbids.)"""
        assert until(lambda: self.page.evaluate(condition), seconds, 0.2), condition

    def is_at(self, state: str) -> None:
        """Wait until the page says so by itself."""
        self.page.locator("#state .state", has_text=state).wait_for(timeout=LONG)

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}-{self.size}.png")

    def is_fine(self, *, but: Sequence[str] = ()) -> None:
        """Nothing was refused or went wrong but what was to be, and nothing sticks out.

        Args:
            but: statuses that answers were to have.
        """
        assert [one for one in self.said if not any(f"status of {status} " in one for status in but)] == []
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def person_with(browser: "Browser", size: str, scheme: Any = "light", **options: Any) -> Person:
    width, height = SIZES[size]
    options |= {"has_touch": True, "is_mobile": True} if size == "phone" else {}
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
    person = Person(context.new_page(), size)
    person.page.on("console", lambda one: person.said.append(one.text) if one.type in {"error", "warning"} else None)
    person.page.on("pageerror", lambda error: person.said.append(str(error)))
    return person


@pytest.mark.parametrize("size", SIZES)
def test_from_the_form_to_the_post(board: Board, browser: "Browser", size: str) -> None:
    person = person_with(browser, size)
    page = person.page
    page.goto(f"{board.url}/")
    page.get_by_role("link", name="New video").click()
    page.get_by_label("Topic", exact=True).fill(f"why the sea is salty, on a {size}")
    page.get_by_label("About so many seconds").fill("3")
    page.get_by_role("button", name="Make it").click()
    person.sees("greater than or equal to 5")
    assert page.get_by_label("Topic", exact=True).input_value().endswith(size)
    person.shot("form-with-an-error")
    page.get_by_label("About so many seconds").fill("14")
    page.get_by_label("Music").select_option("none")
    page.get_by_label("Review", exact=True).select_option("required")
    page.get_by_role("button", name="Make it").click()
    person.sees("It is in the queue.")
    video = page.url.partition("?")[0].rpartition("/")[2]

    person.is_at("In the making")
    page.locator("#state .stages .running").first.wait_for(timeout=LONG)
    person.shot("making")
    person.is_at("To review")
    first = board.status(video)["render_sha256"]
    page.locator("#story .scenes li").first.wait_for(timeout=LONG)
    assert "waits for somebody" in page.locator("#state").inner_text()
    page.evaluate("document.getElementById('video').play()")
    person.comes("document.getElementById('video').currentTime > 0.3")
    cues = "(async () => { const [track] = document.getElementById('video').textTracks; track.mode = 'hidden';"
    cues += "for (let i = 0; i < 50 && !track.cues?.length; i++) await new Promise((r) => setTimeout(r, 100));"
    assert page.evaluate(cues + "return track.cues.length; })()") > 2
    person.shot("to-review")

    page.locator("summary", has_text="Reject").click()
    page.get_by_label("What is to be better?").fill('Say "waves", <b>and</b> be brief.')
    person.shot("rejecting")
    page.get_by_role("button", name="Reject", exact=True).click()
    person.sees("Rejected.")
    person.is_at("To review")
    person.comes(
        f"(document.querySelector('#approve [name=render_sha256]') ?? {{value: '{first}'}}).value !== '{first}'", 120
    )
    second = board.status(video)["render_sha256"]
    assert page.locator("#video").get_attribute("src") == f"/videos/{video}/video?v={second[:16]}"
    page.locator("#story blockquote", has_text='Say "waves", <b>and</b> be brief.').wait_for(timeout=LONG)
    page.get_by_role("button", name="Approve").click()
    person.sees("Approved.")
    person.is_at("Published")
    page.locator("#story h2", has_text="Posts").wait_for(timeout=LONG)
    assert page.locator("#story a", has_text="Dagster").count() >= 3
    person.shot("published")
    assert len(list((board.home.path / "outbox" / video).glob("*.mp4"))) == 1
    page.goto(f"{board.url}/?show=posted")
    page.locator(f"#open-{video} img").wait_for()
    person.comes(f"document.querySelector('#open-{video} img').naturalWidth === 400")
    person.shot("board")
    person.is_fine(but=["422"])


def test_several_are_reviewed_by_keys(board: Board, browser: "Browser") -> None:
    videos = [board.ask(review="required", seed=number, id=f"keys-{number}") for number in range(4)]
    for video in videos:
        board.reaches(video, "awaiting_review")
    person = person_with(browser, "desktop", "dark")
    page = person.page
    page.goto(f"{board.url}/review")
    page.wait_for_url(f"**/review/{videos[0]}")
    page.locator("#story .scenes").wait_for()
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keys").wait_for()
    person.shot("keys")
    page.keyboard.press("a")  # nothing is approved behind the dialogue
    page.keyboard.press("Escape")
    page.locator("#keys").wait_for(state="hidden")
    page.evaluate("document.getElementById('video').loop = true")  # it is over in two seconds
    page.keyboard.press("Space")
    person.comes("!document.getElementById('video').paused")
    page.keyboard.press("Space")
    person.comes("document.getElementById('video').paused")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/review/{videos[1]}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/review/{videos[0]}")
    page.keyboard.press("r")
    page.keyboard.type("a ? r")  # and none of it does anything while somebody writes
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("What is to be better?").input_value() == "a ? r"
    assert [board.status(video)["state"] for video in videos] == ["awaiting_review"] * 4
    page.keyboard.press("Control+Enter")
    page.wait_for_url(f"**/review/{videos[1]}?**")
    person.sees("Rejected.")
    assert until(lambda: board.status(videos[0])["state"] == "rejected", 30)
    for video, then in zip(videos[1:], [*videos[2:], None], strict=True):
        page.locator("#approve").wait_for()
        page.keyboard.press("a")
        page.wait_for_url(f"**/review/{then}?**" if then else "**/review?**")
        board.reaches(video, "published")
    person.sees("Nothing waits for a review")
    person.shot("reviewed")
    person.is_fine()


def test_what_somebody_writes_is_not_swapped_away(board: Board, browser: "Browser") -> None:
    video = board.ask(review="required", seed=20, id="written-about")
    looked_at = board.reaches(video, "awaiting_review")["render_sha256"]
    person = person_with(browser, "phone")
    page = person.page
    page.goto(f"{board.url}/board/{video}")
    page.locator("summary", has_text="Reject").click()
    page.get_by_label("What is to be better?").fill("Slower, please.")
    answer = httpx.post(f"{board.url}/videos/{video}/approve", json={"render_sha256": looked_at}, timeout=60)
    assert answer.is_success
    page.locator("#stale").wait_for(timeout=30_000)
    assert page.get_by_label("What is to be better?").input_value() == "Slower, please."
    board.reaches(video, "published")
    page.get_by_role("button", name="Reject", exact=True).click()
    person.sees("Nothing was done")
    person.shot("too-late")
    person.is_fine(but=["409"])


def test_a_server_that_goes_away_is_missed_and_found_again(board: Board, browser: "Browser") -> None:
    url, process = serve(board.home, "second.log")
    person = person_with(browser, "desktop")
    page = person.page
    page.goto(url)
    process.send_signal(signal.SIGSTOP)
    try:
        page.locator("#offline").wait_for(timeout=40_000)
    finally:
        process.send_signal(signal.SIGCONT)
    page.locator("#offline").wait_for(state="hidden", timeout=40_000)
    process.terminate()
    process.wait(15)
    page.locator("#offline").wait_for(timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_can_be_used_by_everybody(board: Board, browser: "Browser", size: str, scheme: str) -> None:
    import axe_playwright_python

    axe = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
    title = '"Titles" & <em>people</em> تجربة ' + "Donaudampfschifffahrt" * 3
    hostile = board.ask(
        review="required", seed=30, id="hostile", post={"title": title.replace("<", "").replace(">", "")}
    )
    board.ask(not_before="2099-01-01T00:00:00Z", seed=31, id="later")
    board.reaches(hostile, "awaiting_review")
    person = person_with(browser, size, scheme)
    page = person.page
    pages = {"board": "/", "empty": "/?show=closed", "found": "/?q=hostile", "new": "/new", "like": "/new?like=hostile",
             "video": f"/board/{hostile}", "review": f"/review/{hostile}", "waiting": "/board/later",
             "lost": "/board/nobody", "login": "/login"}  # fmt: skip
    for name, path in pages.items():
        page.goto(board.url + path)
        if name in {"video", "review"}:
            page.locator("#story h2", has_text="Timeline").wait_for(timeout=LONG)
            page.locator("#story summary").first.click()
            page.locator("summary", has_text="Reject").click()
        page.evaluate(axe)
        page.wait_for_timeout(300)  # what fades in is fully there
        found = page.evaluate("axe.run()")["violations"]
        told = [(one["id"], one["impact"], [node["html"] for node in one["nodes"]]) for one in found]
        assert told == [], (name, json.dumps(told, indent=1))
        small = page.evaluate(
            "[...document.querySelectorAll('a.button, button, summary, select, .groups a, .mark')]"
            ".filter((one) => one.offsetParent && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"
        )
        assert small == [], name
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"page-{name}-{size}-{scheme}.png")
    person.is_fine(but=["404"])


def test_a_token_is_asked_for_once(browser: "Browser", tmp_path: Path) -> None:
    home = Home(tmp_path)
    secret = home.run("token", "create", "--scope", "review", "--name", "Ada").stdout.strip()
    url, process = serve(home, "serve.log")
    try:
        person = person_with(browser, "phone", "dark")
        page = person.page
        page.goto(f"{url}/?show=review")
        person.shot("login")
        page.get_by_label("Token").fill("cm_wrong")
        page.get_by_role("button", name="Log in").click()
        person.sees("not known")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{url}/?show=review")
        assert page.get_by_role("link", name="New video").count() == 0
        assert page.evaluate("document.cookie") == ""

        # A link on another site's page finds them logged in, although the cookie is strictly for our own.
        elsewhere = url.replace("127.0.0.1", "localhost")
        page.goto(f"{elsewhere}/login")
        page.evaluate(f"const a = document.createElement('a'); a.href = '{url}/'; document.body.append(a); a.click()")
        page.get_by_role("button", name="Log out").wait_for()
        assert page.url == f"{url}/"
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Token").wait_for()
        page.goto(f"{url}/board/x")
        page.get_by_label("Token").wait_for()
        person.is_fine(but=["401", "403"])
    finally:
        process.terminate()
        process.wait(15)
