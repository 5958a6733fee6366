"""Durations as Compose and Go write them, and as people read them; moments as Docker and git write them."""

import re
from datetime import datetime

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d)")


def seconds(text: str | float | None) -> float:
    """Return a Go duration (`1m30s`) or a number of nanoseconds as seconds; nothing is 0."""
    if not text:
        return 0.0
    if isinstance(text, (int, float)):
        return text * 1e-9
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def spoken(duration: float) -> str:
    """Return seconds as people write them: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 days`."""
    if duration < 10:  # noqa: PLR2004 - below this a tenth matters
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days"


def moment(text: str) -> float | None:
    """Return a time in RFC 3339 as seconds since 1970; None if it is none, or Go's or an image builder's zero."""
    # Digits beyond microseconds are cut away by Python itself, from 3.11 on.
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds_ = found.timestamp() if found.tzinfo else 0
    return seconds_ if seconds_ > 0 else None
