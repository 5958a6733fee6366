"""Prints what a web page says, without its markup: `python page.py ADDRESS LINES`.

The first line is the reply's status. Standard library only, and no proxy: the address is this machine's.
"""

import sys
import urllib.request
from html.parser import HTMLParser


class Text(HTMLParser):
    """Collects a page's text, one line per element that has any."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002, D102
        self._silent += tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:  # noqa: D102
        words = " ".join(data.split())
        if words and not self._silent:
            self.lines.append(words)


if __name__ == "__main__":
    address, count = sys.argv[1:]
    text = Text()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(address, timeout=20) as reply:
        print(reply.status, reply.reason)
        text.feed(reply.read().decode(errors="replace"))
    print("\n".join(text.lines[: int(count)]))
