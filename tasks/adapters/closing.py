"""What is given back at the end of a `with` block."""

from types import TracebackType
from typing import Self


class Closing:
    """Closes itself at the end of a `with` block, however that ends."""

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
