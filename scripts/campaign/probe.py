"""Asks an address again and again, and writes down when it answered: `python probe.py URL FILE`.

Each line is a moment of the monotonic clock, in seconds, at which the whole answer was there. Standard library only.
"""

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.05
LONGEST_SECONDS = 1.0


def answers(host: str, path: str) -> bool:
    """Return whether an answer comes in time."""
    connection = http.client.HTTPConnection(host, timeout=LONGEST_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return bool(answer.read()) and answer.status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(url: str, file: str) -> None:
    """Ask for ever."""
    where = urlsplit(url)
    with Path(file).open("a", encoding="ascii", buffering=1) as log:
        while True:
            if answers(where.netloc, where.path):
                log.write(f"{time.monotonic():.3f}\n")
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
