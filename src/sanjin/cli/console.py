"""``sanjin console``: the pages of a region that is up. ``sanjin drill``: cut a line on purpose, and join it again."""

from __future__ import annotations

import webbrowser
from html import escape
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.adapters.files import write_secret
from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.amounts import to_seconds
from sanjin.cli.output import Format, State, data, note, text


def console(
    *,
    open_it: Annotated[
        bool, Parameter(name="--open", negative=(), help="Open it in a browser, signed in. 在浏览器中打开并登录。")
    ] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Say where the console of the region that is up is, or open it. 控制台。

    To sign in on another machine, give a token made by: sanjin user add.
    """
    folder = StateFolder(state or default_folder())
    url, token = folder.found()
    page = door(folder.path, url, token)
    if open_it:
        webbrowser.open(page.as_uri())
    if not data({"url": url, "door": str(page), "opened": open_it}, output):
        print(url)
        note(text("cli.console_opened" if open_it else "cli.console_how", page=page))


def door(folder: Path, url: str, token: str) -> Path:
    """A page that only its owner can read, and that leads to the console with the token: on a command line or in a
    terminal that would be seen by others."""
    page, to = folder / "console.html", escape(f"{url}/#token={token}", quote=True)
    head = f'<!doctype html><meta charset=utf-8><meta http-equiv=refresh content="0; url={to}">'
    write_secret(page, f'{head}<a href="{to}">Sanjin</a>\n'.encode())
    return page


def drill(
    site: Annotated[str, Parameter(help="A node whose parent runs in the same process. 站点。")],
    /,
    *,
    heal: Annotated[bool, Parameter(negative=(), help="Join the line again. 恢复连接。")] = False,
    for_: Annotated[str, Parameter(name="--for", help="Wall time until it is joined by itself. 断开时长。")] = "10m",
    dry_run: Annotated[bool, Parameter(negative=(), help="Only say what would be done. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Cut the line between a site and its parent on purpose: work goes on, and nothing is lost. 断网演练。"""
    from sanjin.client import Client

    for_s = to_seconds(for_, "--for")
    with Client.here(state) as client:
        if not dry_run:
            client.drill(site, not heal, for_s)
    if not data({"site": site, "cut": not heal, "for_s": 0 if heal else for_s, "dry_run": dry_run}, output):
        print(text("cli.drill_healed" if heal else "cli.drill_cut", site=site, span=for_))
        if dry_run:
            note(text("cli.dry_run"))
