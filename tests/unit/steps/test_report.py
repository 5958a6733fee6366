"""What files and images say together."""

from tasks.core.lint.rule import Fault, Place
from tasks.steps.looking import ImageSize, Looked
from tasks.steps.report import together


def fault(rule: str, service: str, line: int, what: str) -> Fault:
    place = Place("/shop/Dockerfile", line)
    return Fault(rule=rule, severity="warning", place=place, stack="shop", services=(service,), what=what)


def looked(service: str, *faults: Fault, judged: str = "") -> Looked:
    size = ImageSize(stack="shop", service=service)
    return Looked(size=size, faults=faults, judged=frozenset(judged.split()))


def said(faults: list[Fault]) -> set[tuple[str, str, int, str]]:
    return {(f.rule, f.services[0], f.place.line, f.what) for f in faults}


def test_what_an_image_answers_better_is_not_said_twice_and_stands_at_the_line_of_the_file() -> None:
    static = [fault("dev-dependencies", "web", 14, "copied"), fault("package-cache", "web", 9, "kept")]
    image = looked("web", fault("dev-dependencies", "web", 1, "46 MB"), judged="dev-dependencies package-cache")
    assert said(together(static, [image])) == {("dev-dependencies", "web", 14, "46 MB")}


def test_an_image_answers_for_its_own_service_and_its_own_rules_alone() -> None:
    static = [
        fault("dev-dependencies", "api", 14, "copied"),
        fault("host-port", "web", 3, "published"),
        fault("dev-dependencies", "web", 14, "copied"),
    ]
    image = looked("web", fault("runs-as-root", "web", 1, "root"), judged="package-cache")
    assert said(together(static, [image])) == {*said(static), ("runs-as-root", "web", 1, "root")}


def test_what_a_container_shows_of_a_check_takes_the_place_of_the_suspicion() -> None:
    static = [fault("localhost-health-check", "web", 5, "may")]
    seen = looked("web", fault("localhost-health-check", "web", 5, "does"))
    assert said(together(static, [seen])) == {("localhost-health-check", "web", 5, "does")}


def test_without_images_files_alone_are_said() -> None:
    static = [fault("host-port", "web", 3, "published"), fault("host-port", "api", 4, "published")]
    assert together(static, []) == static
