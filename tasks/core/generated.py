"""A file that Onevm writes and people may edit: whose is it now?

Its second line holds a hash of what follows. While they agree, nobody has edited it.
"""

import hashlib
import re
from typing import Literal

Condition = Literal["up to date", "missing", "outdated", "edited", "foreign"]

_NOTICE = "# Written by `doit ci` from services.toml. A file that was edited by hand is left alone."
_MARK = re.compile(r"^# onevm-ci sha256:(?P<hash>[0-9a-f]{64})$", re.MULTILINE)


def marked(body: str) -> str:
    """Return the text of a file with this body."""
    return f"{_NOTICE}\n# onevm-ci sha256:{_hash(body)}\n{body}"


def condition(there: str | None, wanted: str) -> Condition:
    """Compare what is there with what Onevm would write.

    Args:
        there: the file's text; None if there is no file.
        wanted: as `marked` returned it.

    Returns:
        `outdated` if the file is as Onevm wrote it once, `edited` if somebody changed that, `foreign` if it has no
        mark: it is somebody's own.
    """
    if there is None:
        return "missing"
    text = there.replace("\r\n", "\n")
    if text == wanted:
        return "up to date"
    mark = _MARK.search(text)
    if mark is None:
        return "foreign"
    return "outdated" if mark["hash"] == _hash(text[mark.end() + 1 :]) else "edited"


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
