"""Tables of what BuildKit makes of ignore files; each row was seen to hold on an engine."""

import pytest

from tasks.core.errors import ConfigurationError
from tasks.core.gopath import BadPatternError, check_pattern, clean
from tasks.core.ignore import IgnoreRules


def rules(text: str) -> IgnoreRules:
    return IgnoreRules(text.encode(errors="surrogateescape"), name="app/.dockerignore")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", "a"),
        ("a", "a/below/it"),
        ("/a", "a"),
        ("./a", "a"),
        ("a/", "a"),
        ("x/../a", "a"),
        ("../a", "../a"),
        ("  a \t", "a"),
        ("a\r", "a"),
        ("\u3000a\xa0", "a"),
        ("\ufeffa", "a"),
        ("#a\na", "a"),
        (" #a", "#a"),
        ("*", "a"),
        ("*.md", "a.md"),
        ("**/a", "a"),
        ("**/a", "x/y/a"),
        ("**a", "xa"),
        ("a/**", "a/x/y"),
        ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"),
        ("**/*.pyc", "x/a.pyc"),
        ("**", ".anything"),
        ("?", "é"),
        ("[a-c]x", "bx"),
        ("[^a]x", "bx"),
        ("[!a]x", "!x"),
        ("[^a]", "/"),
        (r"\*", "*"),
        (r"a\!", "a!"),
        ("!a\na", "a"),
        ("*\n!b\nb", "b"),
        ("a\n! b", "a"),
        ("!../../a", "a"),
        ("a|b*", "a and all that starts so"),
        ("a{2}*", "aab"),
        ("[[:alpha:]]*", "x"),
        (r"\d*", "5"),
        (r"\p{Lu}*", "Éa"),
        (r"\x61*", "ab"),
        (r"\141*", "ab"),
        (r"\Qab\E*", "abc"),
        ("\udcff*", "\udcff.txt"),
        ("\udcff*", "\udcfe.txt"),  # noqa: PT014 (another byte)
        ("new*", "new\nline"),
    ],
)
def test_a_pattern_leaves_a_path_out(text: str, path: str) -> None:
    assert rules(text).excludes(path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "a"),
        ("#a", "a"),
        ("a", "x/a"),
        ("a", "ab"),
        ("A", "a"),
        ("/", "a"),
        (".", "a"),
        ("..", "a"),
        ("../a", "a"),
        ("*.md", "x/a.md"),
        ("*/a", "a"),
        ("a/*", "a"),
        ("a/**", "a"),
        ("[!a]x", "bx"),
        (r"\[a]", "a"),
        ("*\n!a", "a"),
        ("*\n!a", "a/below"),
        ("*\n!a/b", "a/b"),
        ("*\n! a", "a"),
        ("*\n!/a", "a"),
        ("**\n!**/*.md", "x/y/a.md"),
        ("a/*\n!a/b", "a/b"),
        ("*\n!../a", "../a"),
        ("a\n/!a", "a"),
        ("**/*line", "new\nfolder/a line"),
        ("a.b*", "axb"),
        ("a+*", "aa"),
        ("(a)*", "a"),
        ("[[:^alpha:]]*", "x"),
        (r"\D*", "5"),
    ],
)
def test_a_pattern_lets_a_path_in(text: str, path: str) -> None:
    assert not rules(text).excludes(path)


@pytest.mark.parametrize("text", ["*\n!x", "**\n!src/x", "a\n!a/b/c"])
def test_a_folder_is_read_only_if_something_below_it_can_come_back(text: str) -> None:
    assert rules(text).prunes("other")
    assert rules(text).prunes("a/other")


@pytest.mark.parametrize("text", ["*\n!a/b", "a\n!a/b/**", "a\n!*", "a\n!a/[b]"])
def test_a_folder_is_read_if_something_below_it_can_come_back(text: str) -> None:
    assert not rules(text).prunes("a")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a\n!", 2, "needs a pattern"),
        ("!/", 1, "needs a pattern"),
        ("# fine\n\n[", 3, "not closed"),
        ("[]", 1, "may not have ']'"),
        ("[-a]", 1, "may not have '-'"),
        ("[a-]", 1, "may not have ']'"),
        ("a\\", 1, "backslash"),
        ("ok\na\tb", 2, "control character"),
        ("x" * 65536, 1, "too long"),
    ],
)
def test_a_file_that_buildkit_refuses_is_explained_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        rules(text)
    assert f"app/.dockerignore:{line}: " in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\L*", r"x\q", "[z-a]", "[[:foo:]]*", "*{2}", "a|{2}*", "a{2}{3}*", "a{2,1}*", "a{1001}*", r"\p{Foo}*", r"\8*",
        r"\xZZ*",
    ],
)  # fmt: skip
def test_a_pattern_that_buildkit_refuses_when_it_comes_to_use_it_is_explained(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"app/\.dockerignore:2: "):
        rules(f"taken\n{pattern}").excludes("other")


def test_a_wrong_pattern_that_is_never_used_does_not_matter() -> None:
    assert rules("a\n\\L*").excludes("a")
    assert rules("a\n\\L*").excludes_child("a")


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [("*b[-]", True), ("?*b[-]", True), (".*[-]", True), ("b*[-]", False), ("**/*[-]", False), ("*b*[-]", False)],
)
def test_only_as_much_of_a_pattern_is_checked_as_go_checks(pattern: str, wrong: bool) -> None:
    try:
        check_pattern(pattern)
    except BadPatternError:
        assert wrong
    else:
        assert not wrong


def test_a_later_pattern_counts_for_files_below_even_if_it_did_not_for_their_folder() -> None:
    """BuildKit lists a/b, then sends it empty: its two rules differ."""
    both = rules("*\n!a/b\na")
    excluded, below = both.judge("a", both.nothing)
    assert excluded
    assert both.judge("a/b", below)[0] is False
    assert both.may_empty
    assert both.empties("a/b")


@pytest.mark.parametrize("text", ["", "*\n", "*\n!a", "!a\n!b", "a\n!b"])
def test_files_arrive_whole_where_no_exception_is_taken_back(text: str) -> None:
    assert not rules(text).may_empty


@pytest.mark.parametrize(
    "text", ["a\n**/b\nc/**\n*.log\n**/*.pyc\n[xy]z", "*.a\n?", "**", "a|b", "\\L\na"]
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["a", "b", "x/b", "c/x", "x.log", "d/x.log", "x/y.pyc", "n\n/y.pyc", "n\n.pyc", "xz", "q"]
)
def test_the_quick_way_agrees_with_the_slow_one(text: str, path: str) -> None:
    def outcome(method: str) -> bool | str:
        try:
            return bool(getattr(rules(text), method)(path))
        except ConfigurationError as error:
            return str(error)

    below = rules(text).excludes(path.rpartition("/")[0]) if "/" in path and "L" not in text else False
    assert below or outcome("excludes_child") == outcome("excludes")


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("", "."), ("/", "/"), ("//a", "/a"), ("a//b/", "a/b"), ("a/./b", "a/b"), ("a/../..", ".."), ("/..", "/"),
        ("/../a", "/a"), ("../..", "../.."), ("!../../a", "a"), ("a/..", "."),
    ],
)  # fmt: skip
def test_paths_are_cleaned_as_go_cleans_them(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned
