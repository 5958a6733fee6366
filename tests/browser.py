"""A headless Chromium in the hands of a test, through its DevTools on two pipes: no port, no driver, no library.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
LONGEST = 90
# Chromium reads its commands from 3 and answers on 4.
_PIPES = """import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])"""
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe",
)  # fmt: skip


def installed() -> str:
    """Return the Chromium of this machine, empty if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


@dataclass
class Browser:
    """A running Chromium with one page.

    Attributes:
        events: everything that it told, method and parameters.
    """

    _send: int
    _receive: int
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _session: str = ""
    _number: int = 0
    _buffer: bytes = b""
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._send, data) :]
        self._until(lambda: self._number in self._answers, method)
        answer = self._answers.pop(self._number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LONGEST
        while not condition():
            ready, _, _ = select.select([self._receive], [], [], max(end - time.monotonic(), 0))
            assert ready, f"Chromium did not come to this in {LONGEST} s: {what}"
            more = os.read(self._receive, 1 << 16)
            assert more, "Chromium has ended"
            *messages, self._buffer = (self._buffer + more).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self.events.append((message["method"], message["params"]))

    def begin(self) -> None:
        """Open a page, and listen to what it says."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, file: Path, *, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Show a file in a window of a size, as whoever prefers light or dark sees it; forgets earlier events."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        self._until(lambda: any(name == "Page.loadEventFired" for name, _ in self.events), f"{file} is loaded")

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Return what the page wrote to the console, exceptions, and what could not be loaded or was refused."""
        told = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed"}
        return [parameters for name, parameters in self.events if name in told]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for."""
        return [p["request"]["url"] for name, p in self.events if name == "Network.requestWillBeSent"]

    def picture(self, to: Path) -> None:
        """Write a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        to.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def running(program: str, folder: Path) -> Iterator[Browser]:
    """Run a Chromium with a profile of its own.

    Args:
        program: its path.
        folder: where the profile goes.
    """
    commands, send = os.pipe()
    receive, answers = os.pipe()
    words = [sys.executable, "-I", "-S", "-c", _PIPES, str(commands), str(answers)]
    words += [program, *_FLAGS, f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        words,
        pass_fds=(commands, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
        start_new_session=True,
    )
    os.close(commands)
    os.close(answers)
    try:
        browser = Browser(send, receive)
        browser.begin()
        yield browser
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        os.close(send)
        os.close(receive)
