"""The images of a Docker engine."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tasks.adapters import credentials, shares
from tasks.adapters.engine_access import (
    MOST_INSPECTED,
    MOST_QUESTIONS,
    PULL_SECONDS,
    REMOVE_SECONDS,
    Access,
    explained,
)
from tasks.adapters.engine_socket import Refused
from tasks.adapters.process import CommandFailed, go_on, tail
from tasks.adapters.retry import Patience, Unanswered
from tasks.core.durations import moment
from tasks.core.errors import OnevmError, ToolError
from tasks.core.images import CONTENT_KEY_LABEL
from tasks.core.prune import LocalImage
from tasks.core.reference import Reference
from tasks.core.secret import Secret

# An engine asks a second time for a layer, but not for a manifest. The registry of Debian 12 and registry:2 keep what
# says which manifests there are in files that they write in place: while one gets a name it may not be readable.
_PASSING = re.compile(r"unexpected (?:http )?status[^\n]*: 5\d\d ", re.IGNORECASE)
_PULLS = Patience(attempts=3, pause=0.1)
_FETCHED = ("Pulling fs layer", "Download complete", "Pull complete")


class Images(Access):
    """What an engine has of images, and their coming and going."""

    def present(self, images: Iterable[str]) -> frozenset[str]:
        """Return which of these references the engine has."""
        asked = set(images)
        # Of many, most are there; one that the list has by another name is asked for by itself.
        listed = frozenset(asked & self.sizes().keys() if len(asked) > MOST_QUESTIONS else ())
        rest = sorted(asked - listed)
        found = shares.ask(self._image, rest, threads=MOST_QUESTIONS)
        return listed | {i for i, image in zip(rest, found, strict=True) if image}

    def _image(self, reference: str) -> Mapping[str, Any] | None:
        if self._socket:
            found: Mapping[str, Any] | None = self._get(f"/images/{quote(reference)}/json")
            return found
        done = self._docker("image", "inspect", reference, check=False)
        if done.returncode and "no such image" not in done.stderr.lower():
            raise explained(CommandFailed(["docker", "image", "inspect"], returncode=1, stderr=done.stderr, limit=0))
        return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else None

    def image(self, reference: str) -> Mapping[str, Any] | None:
        """Return what `docker image inspect` says of an image, None if the engine does not have it."""
        return self._image(reference)

    def layers(self, reference: str) -> list[tuple[int, str]]:
        """Return the layers of an image, the last one first: bytes, and the instruction that made each."""
        if self._socket:
            found = self._get(f"/images/{quote(reference)}/history") or ()
            return [(int(entry["Size"]), str(entry["CreatedBy"])) for entry in found]
        form = "{{.Size}}\t{{.CreatedBy}}"
        done = self._docker("history", "--no-trunc", "--human=false", "--format", form, reference)
        rows = (line.partition("\t") for line in done.stdout.splitlines())
        return [(int(size), by) for size, _, by in rows if size.isdigit()]

    def keyed_images(self) -> frozenset[str]:
        """Return `<repository>:key-<content key>` of all images that Onevm built and the engine still has."""
        if self._socket:
            query = {"filters": {"label": [CONTENT_KEY_LABEL]}}
            listed = self._get("/images/json", query) or ()
            names = [name for entry in listed for name in entry.get("RepoTags") or ()]
        else:
            where = f"label={CONTENT_KEY_LABEL}"
            form = "{{.Repository}}:{{.Tag}}"
            names = self._docker("image", "ls", "--filter", where, "--format", form).stdout.split()
        return frozenset(name for name in names if name.rpartition(":")[2].startswith("key-"))

    def images(self, names: Callable[[str], bool]) -> tuple[LocalImage, ...]:
        """Return the images that go by a name of which `names` says yes."""
        form = "{{.ID}} {{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
        out = self._docker("image", "ls", "--all", "--no-trunc", "--digests", "--format", form).stdout
        lines_ = [line.split() for line in out.splitlines()]
        wanted = sorted({i for i, tagged, pinned in lines_ if names(tagged) or names(pinned)})
        found: list[LocalImage] = []
        for start in range(0, len(wanted), MOST_INSPECTED):
            some = wanted[start : start + MOST_INSPECTED]
            # One that goes meanwhile is an error, and better asked for again than overlooked.
            found += map(local_image, json.loads(self._docker("image", "inspect", *some).stdout))
        return tuple(found)

    def images_bytes(self) -> int | None:
        """Return what all images take together, layers counted once; None if the engine cannot be asked that."""
        said = self._get("/system/df", {"type": "image"}) if self._socket else None
        return int(said["LayersSize"]) if said and said.get("LayersSize") else None

    def digests_of(self, reference: str) -> tuple[str, ...]:
        """Return the `repository@digest` names under which the engine knows an image; empty if it has none."""
        found = self._image(reference)
        return tuple(found.get("RepoDigests") or ()) if found else ()

    def labels(self, reference: str) -> Mapping[str, str]:
        """Return an image's labels; none if the engine does not have it."""
        found = self._image(reference)
        return ((found.get("Config") or {}).get("Labels") or {}) if found else {}

    def digests_in(self, repositories: Collection[str]) -> tuple[str, ...]:
        """Return `repository@digest` of all images that the engine has of some repositories, in full."""
        if self._socket:
            names = [name for entry in self._get("/images/json") or () for name in entry.get("RepoDigests") or ()]
        else:
            names = self._docker("image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").stdout.split()
        full = (Reference.parse(name) for name in names if "<none>" not in name)
        return tuple(str(name) for name in full if name.name in repositories)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every image, as `docker image ls` says, by each of its names."""
        if not self._socket:
            return {}
        found = {}
        for entry in self._get("/images/json") or ():
            for name in (*(entry.get("RepoTags") or ()), *(entry.get("RepoDigests") or ())):
                found[name] = int(entry.get("Size") or 0)
        return found

    def unpacked_layers(self, reference: str) -> tuple[str, ...]:
        """Return the digests of an image's layers as they are when unpacked, the lowest first; none if it has none."""
        found = self._image(reference) or {}
        return tuple((found.get("RootFS") or {}).get("Layers") or ())

    def tag(self, reference: str, name: str) -> None:
        """Give a local image one more name, `repository:tag`.

        Raises:
            OnevmError: there is no such image.
        """
        if not self._socket:
            self._docker("image", "tag", reference, name)
            return
        repository, _, tag = name.rpartition(":")
        if self._ask("POST", f"/images/{quote(reference)}/tag", {"repo": repository, "tag": tag}) is None:
            raise OnevmError(f"the engine has no image {reference}", next_step="run the same command again")

    def untag(self, names: Sequence[str]) -> None:
        """Take names away from local images, as far as they are there and not in use."""
        if not names:
            return
        self._guard()
        if self._socket:
            shares.ask(self._untagged, names, threads=MOST_QUESTIONS)
        else:
            self._docker("image", "rm", "--no-prune", *names, check=False, timeout=REMOVE_SECONDS)

    def _untagged(self, name: str) -> None:
        try:
            self._ask("DELETE", f"/images/{quote(name)}", {"noprune": "true"}, REMOVE_SECONDS)
        except ToolError:
            raise
        except OnevmError:
            # In use: then it stays.
            return

    def pull(self, reference: str, env: Mapping[str, str | Secret]) -> frozenset[str]:
        """Pull an image.

        Args:
            reference: what to pull.
            env: variables for the login: the credential goes along with the request, the engine keeps none.

        Returns:
            The layers that were fetched: the first digits of their digests, as the engine says them.

        Raises:
            OnevmError: it cannot be pulled; the engine's words are the detail.
        """

        def attempt() -> frozenset[str]:
            told, words = self._pulled(reference, env) if self._is_plain() else self._docker_pulled(reference, env)
            if not words:
                return told
            if _PASSING.search(words):
                raise Unanswered(tail(words, 3))
            command = ["docker", "pull", reference]
            failed = CommandFailed(command, returncode=1, stderr=words, limit=PULL_SECONDS)
            raise self._explain(explained(failed))

        return _PULLS.ask(f"docker pull {reference}", attempt, next_step="see the registry's log, then try again")

    def _is_plain(self) -> bool:
        """Whether a pull is no more than a request to the engine: only the program verifies signatures."""
        return bool(self._socket) and os.environ.get("DOCKER_CONTENT_TRUST", "") in {"", "0", "false"}

    def _pulled(self, reference: str, env: Mapping[str, str | Secret]) -> tuple[frozenset[str], str]:
        """Pull through the socket; returns the layers that were fetched, and why it failed, empty if it did not."""
        named = Reference.parse(reference)
        folder = str(env.get("DOCKER_CONFIG") or "")
        login = credentials.find(named.registry, folder=Path(folder) if folder else None)
        query = {"fromImage": named.name, "tag": named.digest or named.tag or "latest"}
        if platform := os.environ.get("DOCKER_DEFAULT_PLATFORM"):
            query["platform"] = platform
        headers = {"X-Registry-Auth": credentials.header(login, named.registry).reveal()} if login else {}
        fetched: set[str] = set()
        ended = False
        stream = self._follow("POST", "/images/create", query, headers=headers)
        try:
            for line in stream.lines():
                said = json.loads(line)
                if words := said.get("error"):
                    return frozenset(), str(words)
                what = str(said.get("status"))
                ended = ended or what.startswith("Status: ")
                if what in _FETCHED and said.get("id"):
                    fetched.add(str(said["id"]))
        except Refused as refused:
            return frozenset(), f"Error response from daemon: {refused.detail}"
        except ToolError as error:
            raise self._explain(error) from None
        except ValueError:
            # Half a line.
            ended = False
        go_on()
        # A connection that breaks ends the answer too, between two lines or in one.
        if not ended and self._image(reference) is None:
            why = f"no end within {PULL_SECONDS} s" if stream.is_over else "the engine's answer broke off"
            return frozenset(), why
        return frozenset(fetched), ""

    def _docker_pulled(self, reference: str, env: Mapping[str, str | Secret]) -> tuple[frozenset[str], str]:
        """Pull with the program; returns the same."""
        done = self._docker("pull", reference, timeout=PULL_SECONDS, env=env, check=False)
        if done.returncode:
            return frozenset(), done.stderr or f"exit {done.returncode}"
        told = (line.partition(": ") for line in done.stdout.splitlines())
        return frozenset(layer for layer, _, what in told if what in _FETCHED), ""


def local_image(inspected: Mapping[str, Any]) -> LocalImage:
    """Return the image that one entry of `docker image inspect` describes."""
    named = (inspected.get("Metadata") or {}).get("LastTagTime") or ""
    return LocalImage(
        id=inspected["Id"],
        names=(*(inspected.get("RepoTags") or ()), *(inspected.get("RepoDigests") or ())),
        bytes=int(inspected.get("Size") or 0),
        touched=max(moment(inspected.get("Created") or "") or 0, moment(named) or 0),
    )
