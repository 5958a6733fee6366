"""Variables of the command line: a misspelt one is an error."""

import pytest
from doit import doit_cmd

from tasks.core.errors import UsageError
from tasks.steps import variables


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doit_cmd, "_CMDLINE_VARS", {})


def given(**values: str) -> None:
    for name, value in values.items():
        doit_cmd.set_var(name, value)


def test_no_variables_are_fine() -> None:
    variables.check()
    assert variables.text("sha") == ""
    assert not variables.as_json()
    assert not variables.flag("dirty")
    assert variables.seconds("lock_wait", 60) == 60


def test_known_variables_have_their_values() -> None:
    given(sha="1a2b3c4", format="json", dirty="1", lock_wait="2.5", detailed="0")
    variables.check()
    assert variables.text("sha") == "1a2b3c4"
    assert variables.as_json()
    assert variables.flag("dirty")
    assert not variables.flag("detailed")
    assert variables.seconds("lock_wait", 60) == 2.5


@pytest.mark.parametrize("name", sorted(variables.KNOWN))
def test_every_known_variable_says_what_it_is(name: str) -> None:
    assert variables.KNOWN[name]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shaa": "1"}, r"unknown variable 'shaa' \(did you mean 'sha'\?\)"),
        ({"Format": "json"}, r"unknown variable 'Format' \(did you mean 'format'\?\)"),
        ({"zzz": "1"}, r"unknown variable 'zzz'\n"),
        ({"format": "yaml"}, "format=yaml is not known"),
        ({"dirty": "yes"}, "dirty=yes: 1 or 0 is meant"),
        ({"detailed": "2"}, "detailed=2: 1 or 0 is meant"),
        ({"lock_wait": "soon"}, "lock_wait=soon: a number of seconds is meant"),
        ({"lock_wait": "-1"}, "lock_wait=-1: a number"),
        ({"lock_wait": "inf"}, "lock_wait=inf: a number"),
        ({"grace": "1h"}, "grace=1h: a number of seconds"),
        ({"apply": "yes"}, "apply=yes: 1 or 0"),
        ({"refresh": "1", "sha": "1a2b3c4"}, "refresh=1 and sha= exclude each other"),
        ({"refresh": "1", "build": "on-host"}, "refresh=1 and build=on-host exclude each other"),
        ({"lock_wait": "nan"}, "lock_wait=nan: a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, str], message: str) -> None:
    given(**values)
    with pytest.raises(UsageError, match=message) as caught:
        variables.check()
    assert caught.value.exit_code == 3


def test_a_refusal_lists_the_known_ones() -> None:
    given(zzz="1")
    with pytest.raises(UsageError) as caught:
        variables.check()
    assert all(name in caught.value.next_step for name in variables.KNOWN)
