"""Findings as text and as JSON values."""

from tasks.core.lint.rule import Fault, Place, Severity, merged
from tasks.steps import listing

LONG = "one, and a rather long sentence about what is there that goes on for more than a line of a terminal"


def fault(
    file: str, line: int, what: str = "it is so", rule: str = "host-port", severity: Severity = "warning"
) -> Fault:
    place = Place(file, line)
    services = (f"s{line}",)
    return Fault(
        rule=rule, severity=severity, place=place, stack="shop", services=services, what=what, mend="a: 1\nb: 2"
    )


def test_each_finding_has_its_line_and_what_is_alike_is_explained_once() -> None:
    found = [fault("/shop/a.yml", 3), fault("/shop/a.yml", 9), fault("/shop/b/Dockerfile", 1, rule="hadolint:DL1")]
    assert list(listing.lines(found, "/shop/b")) == [
        "",
        "../a.yml:3: warning: host-port (s3)",
        "../a.yml:9: warning: host-port (s9)",
        "      it is so",
        "      why:  A port of the host can be taken only once, so a new copy cannot",
        "            start beside the old one.",
        "      mend:",
        "        a: 1",
        "        b: 2",
        "",
        "Dockerfile:1: warning: hadolint:DL1 (s1)",
        "      it is so",
        "      mend:",
        "        a: 1",
        "        b: 2",
    ]


def test_text_fits_eighty_columns() -> None:
    rows = list(listing.lines([fault("/shop/a.yml", 3, LONG)], "/shop"))
    assert max(map(len, rows)) <= 80
    assert LONG in " ".join(" ".join(rows).split())


def test_a_path_is_shown_the_short_way() -> None:
    assert listing.shown("/shop/a.yml", "/shop") == "a.yml"
    assert listing.shown("/etc/a.yml", "/home/ann/very/deep/down") == "/etc/a.yml"


def test_the_summary_counts() -> None:
    found = [fault("/a", 1), fault("/a", 2), fault("/b", 1, severity="error")]
    assert listing.summary(found, 2) == (
        "rules: 1 error, 2 warnings in 2 files, 2 ignored in services.toml; each rule has its page in docs/rules"
    )
    assert listing.summary([], 0) == "rules: 0 errors, 0 warnings"


def test_services_that_share_a_line_are_one_finding_by_file_line_and_severity() -> None:
    found = [
        fault("/b", 2),
        fault("/a", 7, rule="no-memory-limit"),
        fault("/a", 7, severity="error"),
        Fault(
            rule="host-port", severity="warning", place=Place("/b", 2), stack="shop", services=("x",), what="it is so"
        ),
    ]
    assert [(f.place, f.severity, f.rule, f.services) for f in merged(found)] == [
        (("/a", 7), "error", "host-port", ("s7",)),
        (("/a", 7), "warning", "no-memory-limit", ("s7",)),
        (("/b", 2), "warning", "host-port", ("s2", "x")),
    ]
