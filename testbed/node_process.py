"""A node as a process of its own, to be killed, stopped and started again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from config import ARI_PASSWORD, Config
from testbed.processes import Child
from testbed.town_bed import TOP, TownBed, configure, copy_database


@asynccontextmanager
async def open_process(place: TownBed, folder: Path, **settings: Any) -> AsyncIterator[Child]:
    """A node with a copy of the town's CRM, until the block is left; `settings` see town_bed.configure."""
    copy_database(place.database, folder / "node.db")
    async with node_child(configure(place, folder, **settings), folder) as child:
        yield child


def node_child(config: Config, folder: Path, *, first: str = "") -> Child:
    """A node as a process of its own, ready when /readyz says so. `first` is Python that it runs before all else."""
    (folder / "config.toml").write_text(as_toml(config))
    program = (
        f"{first}\nimport os, sys\nfrom config import load\nfrom node import main\n"
        "sys.exit(main(load(sys.argv[1], os.environ, need_secrets=True)))"
    )

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=1) as client:
                return (await client.get(f"http://{config.node.http}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    return Child(
        "node",
        [sys.executable, "-c", program, str(folder / "config.toml")],
        log=folder / "node.log",
        ready=ready,
        cwd=TOP,
        env={ARI_PASSWORD: config.ari.password},
    )


def as_toml(config: Config) -> str:
    """These settings as a config.toml, without secrets."""
    lines: list[str] = []
    for section in attrs.fields(Config):
        value = getattr(config, section.name)
        sections = {section.name: value}
        if not attrs.has(type(value)):
            sections = {f"{section.name}.{name}": each for name, each in value.items()}
        for name, each in sections.items():
            lines.append(f"[{name}]")
            keys = [
                key.name
                for key in attrs.fields(type(each))
                if key.name not in ("password", "token", "secret_key")
            ]
            lines += [f"{key} = {_toml(getattr(each, key))}" for key in keys]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return f'"{getattr(value, "value", value)}"'
