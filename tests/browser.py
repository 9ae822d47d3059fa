"""A real headless Chromium, driven by its own protocol over two pipes: no library, no driver, no open port.

Playwright and Selenium bring 40 and 12 MB, and a driver of the right version; what is asked here is a page,
keys, and what the page became: https://chromedevtools.github.io/devtools-protocol/.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60  # seconds for what a page does

_AS_3_AND_4 = "import os, sys; r, w = int(sys.argv[1]), int(sys.argv[2]); os.dup2(r, 198); os.dup2(w, 199); \
os.dup2(198, 3); os.dup2(199, 4); os.execvp(sys.argv[3], sys.argv[3:])"

_KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), " ": (32, " ")}


def program() -> str | None:
    """The browser that is installed here; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser(path: str) -> Iterator["Browser"]:
    """Lend a browser without a window, with a profile of its own."""
    to_browser, to_us = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run"]
        flags += [
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
        ]
        ends = (to_browser[0], to_us[1])
        child = subprocess.Popen(
            [sys.executable, "-c", _AS_3_AND_4, *map(str, ends), path, *flags],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in ends:
            os.close(end)
        try:
            yield Browser(to_us[0], to_browser[1])
        finally:
            os.close(to_browser[1])  # it ends where nobody speaks to it any more
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            os.close(to_us[0])


class Browser:
    """What is said to a browser, and what it says."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._number, self._buffer = 0, b""
        self.events: list[dict[str, Any]] = []

    def page(self, address: str, width: int = 1280, height: int = 900) -> "Page":
        """A new page at an address."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.ask(f"{domain}.enable")
        page.size(width, height)
        page.ask("Page.navigate", {"url": address})
        return page

    def ask(self, method: str, parameters: object = None, session: str | None = None) -> Any:  # noqa: ANN401
        """What the browser answers; AssertionError for a complaint or silence."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters or {}}
        asked |= {"sessionId": session} if session else {}
        os.write(self._writing, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._reading], [], [], PATIENCE)[0], "the browser is silent"
            part = os.read(self._reading, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told


class Page:
    """A page of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def ask(self, method: str, parameters: object = None) -> Any:  # noqa: ANN401 - of the protocol
        """What the browser answers about this page."""
        return self._browser.ask(method, parameters, self._session)

    def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever it is
        """What a JavaScript expression is in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        told = self.ask("Runtime.evaluate", asked)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, expression: str) -> Any:  # noqa: ANN401 - whatever it is
        """Wait until an expression is true; what it is then."""
        until = time.monotonic() + PATIENCE
        while not (value := self.value(expression)):
            assert time.monotonic() < until, f"{expression} never came: {self.text()[:500]}"
            time.sleep(0.02)
        return value

    def text(self, selector: str = "body") -> str:
        """The text that a person sees in an element."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as on a keyboard."""
        for key in keys:
            code, text = _KEYS.get(key, (ord(key.upper()[0]), key))
            event = {"key": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
            self.ask("Input.dispatchKeyEvent", {"type": "keyDown" if text else "rawKeyDown", **event})
            self.ask("Input.dispatchKeyEvent", {"type": "keyUp", "key": key, "windowsVirtualKeyCode": code})

    def type(self, text: str) -> None:
        """Type a text where the cursor is."""
        self.ask("Input.insertText", {"text": text})

    def size(self, width: int, height: int = 900) -> None:
        """Make the window as large."""
        wide = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", wide)

    def dark(self, scheme: str = "dark") -> None:
        """Prefer dark colours, or light ones."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, path: Path) -> None:
        """Save what is seen as a PNG."""
        path.write_bytes(b64decode(self.ask("Page.captureScreenshot", {"format": "png"})["data"]))

    def requests(self) -> list[str]:
        """The addresses that any page has asked for so far."""
        self.value("1")
        sent = (each for each in self._browser.events if each.get("method") == "Network.requestWillBeSent")
        return [each["params"]["request"]["url"] for each in sent]
