"""The line of a key is the line where somebody wrote it."""

from dataclasses import dataclass, field

import tomli
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.toml_lines import KeyPath, key_lines

NAMES = st.sampled_from(["a", "b-1", "web", '"x y"', "'d.o=t'", '"[h] # no"', '"}]"'])
SCALARS = st.sampled_from(
    ["1", "true", '"text"', "'lit # no comment'", '"]"', '"a = [1,"', "2026-01-01", "0.5", '"""one"""']
)
COMMENTS = st.sampled_from(["", "", " # why", " # ] } x = [1", ' # """'])


@dataclass
class Writer:
    """Writes TOML and remembers where it put each key."""

    rows: list[str] = field(default_factory=list)
    expected: dict[KeyPath, int] = field(default_factory=dict)
    used: set[KeyPath] = field(default_factory=set)

    def note(self, key: KeyPath, line: int) -> None:
        for length in range(1, len(key) + 1):
            self.expected.setdefault(key[:length], line)


def plain(name: str) -> str:
    return name.strip("\"'")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[KeyPath, int]]:
    writer = Writer()
    arrays: dict[KeyPath, int] = {}
    draw_body(draw, writer, ())
    for number in range(draw(st.integers(0, 4))):
        draw_noise(draw, writer)
        is_array = draw(st.booleans())
        name = f"t{number}" if not is_array else "list"
        key: KeyPath = (name,)
        header = name
        if is_array:
            arrays[key] = arrays.get(key, -1) + 1
            key = (*key, arrays[key])
            writer.rows.append(f"[[{name}]]{draw(COMMENTS)}")
        else:
            writer.rows.append(f"  [ {name} ]{draw(COMMENTS)}")
        writer.note(key, len(writer.rows))
        draw_body(draw, writer, key)
        if draw(st.booleans()):
            writer.rows.append(f"[{header}.sub.'deep er']")
            writer.note((*key, "sub", "deep er"), len(writer.rows))
            draw_body(draw, writer, (*key, "sub", "deep er"))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(writer.rows)
    return text, writer.expected


def draw_noise(draw: st.DrawFn, writer: Writer) -> None:
    writer.rows.extend(draw(st.lists(st.sampled_from(["", "   ", "# x = [", '# """', "\t# [t9]"]), max_size=2)))


def draw_body(draw: st.DrawFn, writer: Writer, table: KeyPath) -> None:
    for name in draw(st.lists(NAMES, max_size=4, unique_by=plain)):
        draw_noise(draw, writer)
        parts = [name, *draw(st.lists(NAMES, max_size=2))]
        key = (*table, *map(plain, parts))
        writer.note(key, len(writer.rows) + 1)
        kind = draw(st.sampled_from(["scalar", "array", "table", "text", "tables"]))
        head = " . ".join(parts) + draw(st.sampled_from(["=", " = "]))
        if kind == "scalar":
            writer.rows.append(f"{head}{draw(SCALARS)}{draw(COMMENTS)}")
        elif kind == "array":
            draw_array(draw, writer, key, head)
        elif kind == "table":
            draw_table(draw, writer, key, head)
        elif kind == "tables":
            draw_tables(draw, writer, key, head)
        else:
            rows = draw(st.lists(st.sampled_from(["x = 1", "[no]", "]", "}", "", "# no"]), max_size=3))
            quotes = draw(st.sampled_from(['"""', "'''"]))
            writer.rows += [head + quotes, *rows, quotes + draw(COMMENTS)]


def draw_array(draw: st.DrawFn, writer: Writer, key: KeyPath, head: str) -> None:
    values = draw(st.lists(SCALARS, max_size=4))
    if draw(st.booleans()):
        writer.rows.append(f"{head}[{', '.join(values)}]{draw(COMMENTS)}")
        for index in range(len(values)):
            writer.note((*key, index), len(writer.rows))
        return
    writer.rows.append(f"{head}[{draw(COMMENTS)}")
    for index, value in enumerate(values):
        draw_noise(draw, writer)
        writer.rows.append(f"  {value},{draw(COMMENTS)}")
        writer.note((*key, index), len(writer.rows))
    writer.rows.append("]" + draw(COMMENTS))


def draw_table(draw: st.DrawFn, writer: Writer, key: KeyPath, head: str) -> None:
    names = draw(st.lists(NAMES, max_size=3, unique_by=plain))
    pairs = [f"{name} = {draw(SCALARS)}" for name in names]
    if draw(st.booleans()):
        writer.rows.append(f"{head}{{ {', '.join(pairs)} }}{draw(COMMENTS)}")
        for name in names:
            writer.note((*key, plain(name)), len(writer.rows))
        return
    writer.rows.append(f"{head}{{{draw(COMMENTS)}")  # TOML 1.1
    for name, pair in zip(names, pairs, strict=True):
        writer.rows.append(f"  {pair},{draw(COMMENTS)}")
        writer.note((*key, plain(name)), len(writer.rows))
    writer.rows.append("}" + draw(COMMENTS))


def draw_tables(draw: st.DrawFn, writer: Writer, key: KeyPath, head: str) -> None:
    writer.rows.append(head + "[")
    for index in range(draw(st.integers(0, 3))):
        writer.rows.append(f"  {{ one = {draw(SCALARS)}, two = [{draw(COMMENTS)}")
        writer.note((*key, index, "one"), len(writer.rows))
        writer.note((*key, index, "two"), len(writer.rows))
        writer.rows.append(f"    {draw(SCALARS)} ] }},{draw(COMMENTS)}")
        writer.note((*key, index, "two", 0), len(writer.rows))
    writer.rows.append("]")


def paths_of(value: object, prefix: KeyPath = ()) -> set[KeyPath]:
    found = {prefix} - {()}
    if isinstance(value, dict):
        return found.union(*(paths_of(item, (*prefix, name)) for name, item in value.items()))
    if isinstance(value, list):
        return found.union(*(paths_of(item, (*prefix, index)) for index, item in enumerate(value)))
    return found


@given(documents())
def test_every_key_is_found_on_the_line_where_it_was_put(document: tuple[str, dict[KeyPath, int]]) -> None:
    text, expected = document
    assert paths_of(tomli.loads(text)) == set(expected), "the generator wrote what it believes it wrote"
    assert key_lines(text) == expected


def test_keys_before_a_syntax_error_are_found() -> None:
    assert key_lines("a = 1\nb = [\n") == {("a",): 1}


def test_a_string_over_several_lines_inside_an_array_does_not_hide_the_key() -> None:
    lines = key_lines('x = 1\na.b = ["""\none\n""",\n 2]\n')
    assert lines[("a", "b")] == 2
    assert lines[("a", "b", 1)] == 5
