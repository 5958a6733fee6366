"""Sizes as people read them."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def spoken(size: int | None) -> str:
    """Return bytes as Docker writes them: `0 B`, `4.5 kB`, `2.02 MB`; an unknown size is `?`."""
    if size is None:
        return "?"
    value = float(size)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - Docker counts in thousands
            break
        value /= 1000
    return f"{value:.3g} {unit}"
