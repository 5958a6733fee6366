"""What a Caddyfile lacks for start-first rollouts."""

import pytest

from tasks.core.lint.caddyfile import lacks

WHOLE = """\
:8080 {
	handle /api/* {
		reverse_proxy {
			dynamic a {
				name {file./upstreams/api}
				port 8000
				refresh 1s
			}
			lb_try_duration 10s
		}
	}
}
"""


def said(text: str, *, mounted: bool = True, services: str = "api web") -> list[str]:
    return [
        str(lack) for lack in lacks({"caddy/Caddyfile": text.encode()}, frozenset(services.split()), mounted=mounted)
    ]


def test_a_whole_one_lacks_nothing() -> None:
    assert said(WHOLE) == []


@pytest.mark.parametrize(
    "line",
    [
        "reverse_proxy web:8000",
        "reverse_proxy /path/* web:8000",
        "reverse_proxy http://web:8000 {",
        "reverse_proxy other:1 web:8000",
        "to web:8000",
        "dynamic a web 8000 {",
        "reverse_proxy web",
    ],
)
def test_a_service_that_is_asked_by_its_own_name(line: str) -> None:
    text = f":8080 {{\n\t{line}\n\treverse_proxy elsewhere:80\n}}\n"
    assert said(text) == ["caddy/Caddyfile:2: asks web by its own name: while it is replaced, requests wait or fail"]


@pytest.mark.parametrize("line", ["# reverse_proxy web:8000", "reverse_proxy web.example.com:443", "respond web"])
def test_what_asks_nobody_of_the_stack(line: str) -> None:
    assert said(f"reverse_proxy other:80\n{line}\n") == []


def test_each_missing_part_is_named_at_the_first_place_that_needs_it() -> None:
    text = WHOLE.replace("refresh 1s", "").replace("lb_try_duration 10s", "")
    assert said(text, mounted=False) == [
        "caddy/Caddyfile:5: reads upstreams/api, and no service mounts that folder",
        "caddy/Caddyfile:5: a refused connection is not tried again",
        "caddy/Caddyfile:5: the addresses behind a name are kept for a minute",
    ]


def test_services_that_cannot_be_replaced_start_first_may_be_asked_by_name() -> None:
    assert said("reverse_proxy web:8000\n", services="api") == []


def test_what_to_write_is_said() -> None:
    (lack,) = lacks({"Caddyfile": b"reverse_proxy web:80"}, frozenset({"web"}), mounted=True)
    assert lack.mend == "dynamic a { name {file./upstreams/web}; port …; refresh 1s }"


def test_other_files_are_left_alone() -> None:
    assert lacks({"notes.txt": b"web:8000", "logo": b"\xff"}, frozenset({"web"}), mounted=False) == ()
