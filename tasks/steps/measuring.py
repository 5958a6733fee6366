"""What is noted while one stack is deployed, until its release is recorded. Nothing here can fail a deploy."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from msgspec import Struct, field

from tasks.adapters.gauge import Blind, Gauge
from tasks.core.measured import Measured
from tasks.core.plan import Operation, Plan
from tasks.core.release import Release
from tasks.steps.meanwhile import Meanwhile
from tasks.steps.timings import Timings, since_start

SHORT = 12
ANSWER_SECONDS = 0.5
Layers = Mapping[str, int]
T = TypeVar("T")


class Measuring(Struct):
    """What is noted of one deployment.

    Attributes:
        timings: seconds by phase.
        gauge: the host's memory and disk.
        layers: gives the sizes of an image's layers, compressed, by digest; None if nobody says.
        built: the services whose images were built for it, and what of each went to the registry, if that is known.
        why: gives why they were built, by service, compared with the release that was current.
        plan: what is done.
        before: the release that was current.
        release: the release as it was recorded, if it was.
        meanwhile: asks meanwhile what is to be known in the end.
    """

    timings: Timings = field(default_factory=Timings)
    gauge: Gauge = field(default_factory=Blind)
    layers: Callable[[str], Layers | None] = lambda _: None
    built: dict[str, Callable[[], int | None]] = field(default_factory=dict)
    why: Callable[[Release | None], dict[str, str]] = lambda _: {}
    plan: Plan = field(default_factory=lambda: Plan(stack=""))
    before: Release | None = None
    release: Release | None = None
    meanwhile: Meanwhile = field(default_factory=Meanwhile)
    _fetched: dict[str, frozenset[str]] = field(default_factory=dict)
    _layers: dict[str, Future[Layers | None]] = field(default_factory=dict)
    _pushed: dict[str, Future[int | None]] = field(default_factory=dict)
    _of_all: Callable[[], dict[str, int]] | None = None
    _sizes: Future[dict[str, int]] | None = None
    _why: Future[dict[str, str]] | None = None
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, plan: Plan) -> None:
        """Take note of what is about to be done."""
        self.plan = plan

    def pulled(self, image: str, layers: frozenset[str]) -> None:
        """Take note of an image that was pulled, and of the layers that were fetched for it."""
        self._fetched[image] = layers

    def has_all(self, sizes: Callable[[], dict[str, int]]) -> None:
        """Take note of what gives the bytes of images by name: the host has all of them now."""
        self._of_all = sizes

    def ask(self) -> None:
        """Begin to ask what is still to be known: there is time for it now, while nothing else is done.

        Several threads may say so.
        """
        with self._asking:
            if self._why is None:
                self._why = self.meanwhile.submit(self.why, self.before)
                self._pushed = {name: self.meanwhile.submit(bytes_) for name, bytes_ in self.built.items()}
            for image, layers in self._fetched.items():
                if layers and image not in self._layers:
                    self._layers[image] = self.meanwhile.submit(self.layers, image)
            if self._of_all and self._sizes is None:
                self._sizes = self.meanwhile.submit(self._of_all)

    def causes(self) -> dict[str, str]:
        """Return why images were built, by service: asked meanwhile, or now if nothing was."""
        return self._why.result() if self._why else self.why(self.before)

    def so_far(self, release: Release) -> Measured:
        """Return what is known now.

        Args:
            release: what is released.
        """
        changed = {op.service: op.rollout if op.rollout == "start-first" else op.verb for op in _changes(self.plan)}
        touched = {*changed, *self.built, *self.plan.services("pull")}
        self.ask()
        # One time limit for all of them.
        asked: list[Future[Any] | None] = [self._sizes, *self._pushed.values(), *self._layers.values()]
        wait(filter(None, asked), ANSWER_SECONDS)
        sizes = _answer(self._sizes) or {}
        return Measured(
            took=round(since_start(), 3),
            services={name: dict(of) for name, of in sorted(self.timings.services.items()) if name in touched},
            built=tuple(sorted(self.built)),
            changed=dict(sorted(changed.items())),
            pushed_bytes=self._pushed_bytes(),
            pulled_bytes=self._pulled_bytes(),
            sizes={n: sizes[s.image] for n, s in sorted(release.services.items()) if s.image in sizes},
            resources=self.gauge.read(),
        )

    def _pushed_bytes(self) -> int | None:
        found = [_answer(asked) for asked in self._pushed.values()]
        return None if None in found else sum(size for size in found if size is not None)

    def _pulled_bytes(self) -> int | None:
        moved: dict[str, int] = {}
        for image, layers in self._fetched.items():
            known = _answer(self._layers[image]) if layers else {}
            if known is None:
                return None
            # Two images may have a layer in common, which came once.
            moved |= {digest: size for digest, size in known.items() if short(digest) in layers}
        return sum(moved.values())


def short(digest: str) -> str:
    """Return the digits of a digest by which the engine calls a layer."""
    return digest.partition(":")[2][:SHORT]


def _changes(plan: Plan) -> list[Operation]:
    return list(plan.of("create", "start", "recreate", "remove"))


def _answer(asked: Future[T] | None) -> T | None:
    """Return an answer if it is there; what is only noted must never fail a deploy, so a failure is none."""
    return asked.result() if asked and asked.done() and not asked.exception() else None
