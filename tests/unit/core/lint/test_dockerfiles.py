"""Rules on what a Dockerfile leaves in an image, one row per way to write it."""

import pytest

from tests.unit.core.lint.conftest import Find

NODE = '{"devDependencies": {"vite": "5"}}'


def found(text: str, find: Find, package: str = NODE, target: str = "") -> list[tuple[str, int]]:
    """Return rule and line of what is found in a Dockerfile."""
    files = {"x/Dockerfile": text, "x/.dockerignore": "", "x/package.json": package}
    more = f", target: {target}" if target else ""
    faults = find(f"x: {{HEALTHY, build: {{context: HERE/x{more}}}}}", files=files)
    return [(f.rule, f.place.line) for f in faults]


CACHED = "--mount=type=cache,target=/root/.npm"
INSTALLS = {
    f"RUN {CACHED} npm ci": True,
    f"RUN {CACHED} npm install": True,
    f"RUN {CACHED} npm ci --omit=dev": False,
    f"RUN {CACHED} npm ci --production": False,
    f"RUN {CACHED} NODE_ENV=production npm ci": False,
    f"ENV NODE_ENV=production\nRUN {CACHED} npm ci": False,
    f"ENV NODE_ENV=production\nRUN {CACHED} npm ci --include=dev": True,
    f"ARG NODE_ENV=production\nRUN {CACHED} npm ci": False,
    f"RUN {CACHED} npm ci && npm run build && npm prune --omit=dev": False,
    f"RUN {CACHED} npm install -g pm2": False,
    f"RUN {CACHED} npm install express": False,
    f'RUN {CACHED} ["npm", "ci"]': True,
    f"RUN {CACHED} <<EOF\nset -e\nnpm ci\nEOF": True,
    "RUN pnpm install --frozen-lockfile": True,
    "RUN pnpm install --prod --frozen-lockfile": False,
    "RUN pnpm --filter api deploy --prod /out": False,
    "RUN --mount=type=cache,target=/root/.yarn yarn install --frozen-lockfile": True,
    "RUN --mount=type=cache,target=/root/.yarn yarn": True,
    "RUN --mount=type=cache,target=/root/.yarn yarn install --production": False,
    "RUN pip install --no-cache-dir -r requirements-dev.txt": True,
    "RUN pip install --no-cache-dir -r requirements.txt": False,
    "RUN pip install --no-cache-dir '.[dev]'": True,
    "RUN poetry install": True,
    "RUN poetry install --only main": False,
    "RUN uv sync --locked": True,
    "RUN uv sync --locked --no-dev": False,
}


@pytest.mark.parametrize("lines", INSTALLS)
def test_packages_for_development(lines: str, find: Find) -> None:
    rules = [rule for rule, _ in found(f"FROM a:1\n{lines}\n", find)]
    assert rules == (["dev-dependencies"] if INSTALLS[lines] else [])


def test_without_dev_dependencies_everything_may_be_installed(find: Find) -> None:
    text = f"FROM a:1\nRUN {CACHED} npm ci\n"
    assert found(text, find, package='{"dependencies": {"express": "4"}}') == []
    assert found(text, find, package="no JSON") == [("dev-dependencies", 2)]


def test_a_prune_in_a_later_run_leaves_the_layer_below(find: Find) -> None:
    text = f"FROM a:1\nRUN {CACHED} npm ci\nRUN npm prune --omit=dev\n"
    assert found(text, find) == [("dev-dependencies", 2)]


COPIES = {
    "RUN npm ci|COPY --from=build /src/node_modules ./node_modules": True,
    "RUN npm ci|COPY --from=build /src/ ./": True,
    "RUN npm ci|COPY --chown=1:1 --from=BUILD /src/node_modules ./": True,
    "RUN npm ci|COPY --from=0 /src/node_modules ./": True,
    "RUN npm ci|COPY --from=build /src/dist ./dist": False,
    "RUN npm ci\nRUN npm prune --omit=dev|COPY --from=build /src/node_modules ./": False,
    "RUN npm ci --omit=dev|COPY --from=build /src/node_modules ./": False,
    "RUN pnpm i\nRUN pnpm prune --prod|COPY --from=build /src/node_modules ./": False,
    "RUN npm ci && make && rm -rf node_modules && npm ci --omit=dev|COPY --from=build /src/node_modules .": False,
}


@pytest.mark.parametrize("lines", COPIES)
def test_node_modules_of_another_stage(lines: str, find: Find) -> None:
    there, _, here = lines.partition("|")
    text = f"FROM a:1 AS build\nWORKDIR /src\n{there}\nFROM a:1\n{here}\n"
    line = 5 + there.count("\n")
    assert found(text, find) == ([("dev-dependencies", line)] if COPIES[lines] else [])


CACHES = {
    "RUN apt-get update && apt-get install -y curl": True,
    "RUN apt-get update \\\n && apt-get install -y curl \\\n && rm -rf /var/lib/apt/lists/*": False,
    "RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y curl": False,
    "RUN apt-get install -y curl": False,
    "RUN apk add curl": True,
    "RUN apk add --no-cache curl": False,
    "RUN apk update && apk add --no-cache curl": True,
    "RUN pip install flask": True,
    "RUN pip install --no-cache-dir flask": False,
    "ENV PIP_NO_CACHE_DIR=1\nRUN pip install flask": False,
    "ENV PIP_NO_CACHE_DIR=off\nRUN pip install flask": True,
    "RUN --mount=type=cache,target=/root/.cache pip install flask": False,
    "RUN npm ci --omit=dev": True,
    "RUN npm ci --omit=dev && npm cache clean --force": False,
    f"RUN {CACHED} npm ci --omit=dev": False,
    "RUN npm run build": False,
    "RUN yarn install --production": True,
    "RUN yarn install --production && yarn cache clean": False,
}


@pytest.mark.parametrize("lines", CACHES)
def test_caches_of_package_managers(lines: str, find: Find) -> None:
    rules = [rule for rule, _ in found(f"FROM a:1\n{lines}\n", find)]
    assert rules == (["package-cache"] if CACHES[lines] else [])


TOOLS = {
    "FROM golang:1.23\nCMD x": True,
    "FROM registry.example.com/hub/golang:1.23\nCMD x": True,
    "FROM golang:1.23 AS b\nFROM scratch\nCOPY --from=b /x /": False,
    "FROM a:1\nRUN apk add --no-cache build-base": True,
    "FROM a:1\nRUN apk add --no-cache --virtual .b gcc && make && apk del .b": False,
    "FROM a:1\nRUN apt-get install -y gcc=4:12 && true": True,
    "FROM a:1\nRUN apt-get install -y gcc && make && apt-get purge -y gcc": False,
    "FROM a:1 AS b\nRUN apt-get install -y gcc\nFROM a:1\nCOPY --from=b /x /": False,
    "FROM a:1 AS b\nRUN apt-get install -y gcc\nFROM b\nCMD x": True,
}


@pytest.mark.parametrize("text", TOOLS)
def test_compilers(text: str, find: Find) -> None:
    assert [rule for rule, _ in found(text, find)] == (["build-tools"] if TOOLS[text] else [])


def test_only_the_stage_that_is_built_counts(find: Find) -> None:
    text = "FROM a:1 AS app\nCMD x\nFROM app AS test\nRUN pip install -r requirements-dev.txt\n"
    assert found(text, find, target="app") == []
    assert found(text, find) == [("dev-dependencies", 4), ("package-cache", 4)]


def test_an_inline_dockerfile_has_the_lines_of_its_compose_file(find: Find) -> None:
    inline = "dockerfile_inline: |\n        FROM a:1\n\n        RUN apk add curl\n"
    text = f"x:\n    <<: {{HEALTHY}}\n    build:\n      context: HERE/x\n      {inline}"
    faults = find(text, files={"x/.dockerignore": ""})
    (fault,) = faults
    assert (fault.rule, fault.place.file.rpartition("/")[2], fault.place.line) == ("package-cache", "compose.yaml", 9)


def test_an_ignore_file_of_the_dockerfile_is_enough(find: Find) -> None:
    text = "x: {HEALTHY, build: {context: HERE/x}}"
    assert [f.rule for f in find(text, files={"x/Dockerfile": "FROM a:1", "x/.git/HEAD": ""})] == ["no-dockerignore"]
    assert ".git in it" in find(text)[0].what
    assert find(text, files={"x/Dockerfile.dockerignore": ""}) == []
