"""A Dockerfile is read as BuildKit reads it, as far as the images it starts from go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.dockerfile import instructions, starting_images

STARTS = {
    "one": ("FROM alpine:3", ["alpine:3"]),
    "nothing": ("", []),
    "scratch is no image": ("FROM scratch", []),
    "lower case": ("from alpine as x\nfrom x", ["alpine"]),
    "tabs": ("FROM\talpine\tAS\tx", ["alpine"]),
    "windows line ends": ("FROM a AS x\r\nFROM x\r\n", ["a"]),
    "byte order mark": ("\ufeffFROM a", ["a"]),
    "quotes": ('FROM "a:1"', ["a:1"]),
    "digest": ("FROM a@sha256:00", ["a@sha256:00"]),
    "each once, in order": ("FROM b\nFROM a\nFROM b", ["b", "a"]),
    "stages": ("FROM a AS one\nFROM one AS two\nFROM ONE", ["a"]),
    "a stage does not count before it is named": ("FROM x AS y\nFROM z AS x", ["x", "z"]),
    "platform": ("FROM --platform=$BUILDPLATFORM a AS x\nFROM x", ["a"]),
    "copy from an image": ("FROM scratch\nCOPY --from=a /x /y", ["a"]),
    "copy with more flags": ("FROM scratch\nCOPY --chown=1:1 --from=a --link /x /y", ["a"]),
    "add from an image": ("FROM scratch\nADD --from=a /x /y", ["a"]),
    "copy from a stage": ("FROM a AS x\nFROM scratch\nCOPY --from=X /x /y\ncopy --from=0 / /", ["a"]),
    "copy of a file named like a flag": ("FROM a\nCOPY x --from=b", ["a"]),
    "mount": ("FROM a\nRUN --mount=type=bind,from=b,target=/b true", ["a", "b"]),
    "mount with from first": ("FROM a\nRUN --mount=from=b,target=/b true", ["a", "b"]),
    "two mounts": ("FROM a\nRUN --mount=from=b,target=/b --mount=type=cache,target=/c,from=d true", ["a", "b", "d"]),
    "words of a command are no flags": ("FROM a\nRUN echo --mount=from=b", ["a"]),
    "continued": ("FROM \\\n  a \\\n  AS x\nFROM x", ["a"]),
    "continued with blanks behind the mark": ("FROM \\  \n  a", ["a"]),
    "comment between continuations": ("RUN a \\\n# FROM b\n  c\nFROM d", ["d"]),
    "blank line between continuations": ("FROM \\\n\n  a", ["a"]),
    "a comment is not continued": ("# docker build \\\nFROM a", ["a"]),
    "an indented comment is not continued": ("  # \\\nFROM a", ["a"]),
    "another escape": ("# escape=`\nFROM `\n  a\nRUN dir c:\\\nFROM b", ["a", "b"]),
    "another escape after syntax": ("# syntax=docker/dockerfile:1\n#escape = `\nFROM a `\n  AS x\nFROM x", ["a"]),
    "an escape directive after an instruction is a comment": ("FROM a\n# escape=`\nFROM \\\n b", ["a", "b"]),
    "heredoc": ("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c", ["a", "c"]),
    "quoted and indented heredoc": ("FROM a\nRUN <<-'E O F'\n\tFROM b\n\tE O F\nFROM c", ["a", "c"]),
    "two heredocs": ("FROM a\nCOPY <<one <<two /\nFROM x\none\nFROM y\ntwo\nFROM c", ["a", "c"]),
    "onbuild is for whoever starts from it": ("FROM a\nONBUILD COPY --from=b / /", ["a"]),
    "label": ('FROM a\nLABEL x="FROM b"', ["a"]),
}


@pytest.mark.parametrize("name", STARTS)
def test_the_images_a_dockerfile_starts_from(name: str) -> None:
    text, images = STARTS[name]
    assert starting_images(text, {}) == tuple(images)


ARGS: dict[str, tuple[str, dict[str, str | None], list[str]]] = {
    "default": ("ARG V=3\nFROM a:$V", {}, ["a:3"]),
    "given": ("ARG V=3\nFROM a:${V}", {"V": "4"}, ["a:4"]),
    "given without a value": ("ARG V=3\nFROM a:${V}", {"V": None}, ["a:3"]),
    "without a default": ("ARG I\nFROM ${I:-b}", {}, ["b"]),
    "with an alternative": ("ARG I=x\nFROM a${I:+-slim}", {}, ["a-slim"]),
    "quoted": ("ARG V=\"3\"\nARG W='4'\nFROM a:$V$W", {}, ["a:34"]),
    "of each other": ("ARG R=reg\nARG I=$R/a\nFROM $I", {}, ["reg/a"]),
    "several on a line": ("ARG R=reg V=1\nFROM $R/a:$V", {}, ["reg/a:1"]),
    "of a stage do not reach FROM": ("ARG V=1\nFROM a:$V\nARG V=2\nFROM b:$V", {}, ["a:1", "b:1"]),
    "not declared are not used": ("FROM a:${V:-1}", {"V": "2"}, ["a:1"]),
    "name a stage": ("ARG T=x\nFROM a AS x\nFROM $T", {}, ["a"]),
}


@pytest.mark.parametrize("name", ARGS)
def test_args_before_the_first_from_are_filled_in(name: str) -> None:
    text, args, images = ARGS[name]
    assert starting_images(text, args) == tuple(images)


@given(st.text(alphabet="FROM aARGCPY-=<$\\`#\n\"'{}:fromEOF", max_size=200))
def test_no_dockerfile_is_too_strange(text: str) -> None:
    assert all(image.strip() == image for image in starting_images(text, {}))
    assert all("\n" not in line for line in instructions(text))
