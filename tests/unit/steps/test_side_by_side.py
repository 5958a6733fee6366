"""Stacks side by side: which begin first, and what one that fails means for the others."""

import threading
import time

import pytest

from tasks.core.errors import OnevmError
from tasks.steps import side_by_side as module
from tasks.steps.side_by_side import Gate, side_by_side

WAIT = 20


def test_the_others_begin_when_those_that_take_longest_only_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", WAIT)
    gate = Gate(fail_fast=False, first={"shop", "blog"})
    order: list[str] = []
    begun = threading.Barrier(2)

    def work(stack: str) -> str:
        if stack in {"shop", "blog"}:
            begun.wait(WAIT)
            order.append("first")
            gate.over(stack)
        else:
            order.append(stack)
        return stack.upper()

    ends = side_by_side(("notes", "shop", "wiki", "blog"), work, gate)
    assert order[:2] == ["first", "first"]
    assert sorted(order[2:]) == ["notes", "wiki"]
    # They are told of in the order in which they were named.
    assert ends.items() == (("notes", "NOTES"), ("shop", "SHOP"), ("wiki", "WIKI"), ("blog", "BLOG"))


def test_one_that_fails_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", WAIT)
    gate = Gate(fail_fast=False, first={"shop"})

    def work(stack: str) -> str:
        if stack == "shop":
            raise OnevmError("no")
        return stack

    began = time.monotonic()
    ends = side_by_side(("shop", "blog"), work, gate)
    assert time.monotonic() - began < WAIT
    assert ends.of("blog") == "blog"
    with pytest.raises(OnevmError, match="no"):
        ends.of("shop")


def test_the_head_start_is_not_for_long() -> None:
    gate = Gate(fail_fast=False, first={"shop"})
    over = threading.Event()

    def work(stack: str) -> bool:
        if stack == "blog":
            over.set()
        return over.wait(WAIT)

    assert side_by_side(("shop", "blog"), work, gate).items() == (("shop", True), ("blog", True))


def test_without_any_that_take_longest_all_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", WAIT)
    together = threading.Barrier(3)
    ends = side_by_side(("a", "b", "c"), lambda _: together.wait(WAIT) >= 0, Gate(fail_fast=False))
    assert ends.items() == (("a", True), ("b", True), ("c", True))


def test_with_fail_fast_those_that_have_not_changed_anything_yet_stop() -> None:
    gate = Gate(fail_fast=True)
    gate.failed("shop")
    gate.check("shop")
    with pytest.raises(OnevmError, match="blog: not deployed, because shop failed"):
        gate.check("blog")
    forgiving = Gate(fail_fast=False)
    forgiving.failed("shop")
    forgiving.check("blog")
