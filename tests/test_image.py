"""The Dockerfile, without an engine to build it: what it copies is enough to run a node, with node.txt's packages alone.

A folder is filled as the Dockerfile's last stage fills the image, and the program is run from there.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

TAKEN_IF_THERE = {"greenlet"}  # by SQLAlchemy, in an environment that has it for something else
TOP = Path(__file__).parent.parent
CODE, HOME = "/opt/teledom", "/srv/teledom"

IMPORTED = """
import json, sys
before = set(sys.modules)  # what the environment itself loads at every start
import teledom, node, crm.calls.calls, crm.calls.timeline, crm.store, crm.town.town
import crm.migrations.versions
from alembic import command
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if name not in before}
print(json.dumps({name: file for name, file in files.items() if file}))
"""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined, comments left out."""
    lines = [line for line in (TOP / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in found]


def copies() -> list[tuple[list[str], str]]:
    """What is copied out of the checkout: the sources, and where to."""
    found = [shlex.split(rest) for name, rest in instructions() if name == "COPY" and "--from=" not in rest]
    return [(words[:-1], words[-1]) for words in found]


def last(instruction: str) -> str:
    return [rest for name, rest in instructions() if name == instruction][-1]


def health_command() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
    return [sys.executable, "-P", *command[1:]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the image's root is."""
    root = tmp_path_factory.mktemp("image")
    for sources, target in copies():
        for source in sources:
            file, goal = TOP / source, root / target.lstrip("/")
            if file.is_dir():
                shutil.copytree(file, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                goal = goal / file.name if target.endswith("/") else goal
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, goal)
    (root / HOME.lstrip("/") / "var").mkdir()
    return root


@pytest.fixture
def environment(image: Path) -> dict[str, str]:
    """The image's environment, with this test's Python."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    in_image = {"PYTHONPATH": f"{image}{CODE}", "TELEDOM_CONFIG": f"{image}{HOME}/config.toml"}
    return {**kept, **in_image, "PYTHONDONTWRITEBYTECODE": "1"}


def run(image: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=f"{image}{HOME}",
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_environment_is_the_one_that_these_tests_set() -> None:
    said = dict(word.split("=", 1) for word in shlex.split(last("ENV")))
    assert (said["PYTHONPATH"], said["TELEDOM_CONFIG"]) == (CODE, f"{HOME}/config.toml")
    assert (last("WORKDIR"), last("VOLUME")) == (HOME, f"{HOME}/var")


def test_it_runs_a_node_and_not_as_root() -> None:
    assert json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")) == ["python", "-m", "teledom", "node"]
    assert last("USER") not in ("root", "0")
    names = [name for name, _ in instructions()]
    assert "RUN" not in names[names.index("USER") :]


def test_packages_are_the_pinned_ones_of_a_node_and_checked_by_hash() -> None:
    pip = next(rest for name, rest in instructions() if name == "RUN" and "pip install" in rest)
    assert "--require-hashes" in pip
    assert "dev.txt" not in (TOP / "Dockerfile").read_text()
    assert (["requirements/node.txt"], "/tmp/node.txt") in copies()


def test_what_is_copied_is_there_and_is_let_through_to_the_build() -> None:
    let_through = (TOP / ".dockerignore").read_text().splitlines()
    assert "*" in let_through
    sources = [source for sources, _ in copies() for source in sources]
    assert [source for source in sources if not (TOP / source).exists()] == []
    assert sorted(f"!{source}" for source in sources) == sorted(
        line for line in let_through if line.startswith("!")
    )


def test_what_it_imports_is_in_the_image_or_in_the_pinned_packages_of_a_node(
    image: Path, environment: dict[str, str]
) -> None:
    done = run(image, environment, "-c", IMPORTED)
    assert done.returncode == 0, done.stderr
    modules: dict[str, str] = json.loads(done.stdout)
    assert [file for file in modules.values() if file.startswith(f"{TOP}/")] == []

    pinned = set(re.findall(r"^([\w.-]+)==", (TOP / "requirements/node.txt").read_text(), re.MULTILINE))
    distributions = importlib.metadata.packages_distributions()
    third_party = {name.split(".")[0] for name, file in modules.items() if "site-packages" in file}
    needed = {name.lower().replace("_", "-") for each in third_party for name in distributions.get(each, [])}
    assert {"trio", "sqlalchemy", "alembic", "litestar"} <= needed
    assert needed - pinned - TAKEN_IF_THERE == set()


def test_the_database_can_be_prepared_and_read_in_the_image(image: Path, environment: dict[str, str]) -> None:
    assert run(image, environment, "-m", "teledom", "check-config").returncode == 0
    for command in (["db", "upgrade"], ["db", "demo"], ["calls"]):
        done = run(image, environment, "-m", "teledom", *command)
        assert done.returncode == 0, done.stderr
    assert Path(f"{image}{HOME}/var/crm.db").exists()


async def test_the_health_check_is_well_just_while_the_node_lives(
    image: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Asterisk is away all the time: that is for /readyz to say."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        http, nobody = one.getsockname()[1], two.getsockname()[1]
    settings = tmp_path / "config.toml"
    settings.write_text(
        f'[node]\nhttp = "127.0.0.1:{http}"\n[ari]\nurl = "http://127.0.0.1:{nobody}/ari"\n'
        '[crm]\nurl = "sqlite:///crm.db"\n'
    )
    environment |= {"TELEDOM_CONFIG": str(settings), "TELEDOM_ARI_PASSWORD": "none"}
    done = await trio.to_thread.run_sync(run, image, environment, "-m", "teledom", "db", "upgrade")
    assert done.returncode == 0, done.stderr

    async def healthy() -> bool:
        asked = await trio.run_process(
            health_command(), env=environment, cwd=tmp_path, check=False, capture_stderr=True
        )
        return asked.returncode == 0

    assert not await healthy()
    node = await trio.lowlevel.open_process(
        [sys.executable, "-P", *json.loads(last("ENTRYPOINT"))[1:], *json.loads(last("CMD"))],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(30):
            while not await healthy():
                assert node.poll() is None
        node.terminate()
        with trio.fail_after(20):
            assert await node.wait() == 0
    finally:
        if node.poll() is None:
            node.kill()
            await node.wait()
