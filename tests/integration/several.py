"""Several shops, each in a repository of its own, in one services.toml."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.shop import Container, Ran, Running, Shop


@dataclass(frozen=True)
class Several:
    """Shops side by side; the first one's folder has the services.toml of all of them.

    Attributes:
        shops: the shops.
    """

    shops: tuple[Shop, ...]

    def configure(self, stacks: Mapping[str, str] | None = None) -> None:
        """Write services.toml; `stacks` is by name of a shop more for its stack's section."""
        first, *others = self.shops
        more = "".join(
            f'[stacks.{shop.name}]\npath = "{shop.repo}"\nhost = "{first.host}"\n{(stacks or {}).get(shop.name, "")}\n'
            for shop in others
        )
        first.configure((stacks or {}).get(first.name, ""), more)

    def start(self, *args: str) -> Running:
        """Start `doit ARGS` for all of them."""
        return self.shops[0].start(*args)

    def doit(self, *args: str) -> Ran:
        """Run `doit ARGS` for all of them."""
        return self.shops[0].doit(*args)

    def running(self) -> dict[str, Container]:
        """Return the one container of each service of each shop, as `<stack>.<service>`."""
        return {f"{shop.name}.{name}": c for shop in self.shops for name, c in shop.running().items()}


@contextmanager
def several(first: Shop, others: Sequence[Shop]) -> Iterator[Several]:
    """Give shops in one services.toml; all are closed in the end."""
    with ExitStack() as closing:
        for shop in (first, *others):
            closing.callback(shop.close)
            shop.create()
        found = Several((first, *others))
        found.configure()
        yield found


def shops(folder: Path, services: Sequence[str]) -> tuple[Shop, list[Shop]]:
    """Return shops that are not opened yet, whose images are in the first one's folder of the registry."""
    first = Shop(folder, services=services[0])
    return first, [Shop(folder, services=s, team=first.name, root=first.root) for s in services[1:]]
