"""Numbers of things, as people say them."""


def counted(number: int, thing: str) -> str:
    """Return `1 digest`, `2 digests`, `0 digests`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
