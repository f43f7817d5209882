"""``sanjin node unit``: a systemd unit for a node, closed as far as its jobs' sandboxes allow."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.model.catalogue import problem
from sanjin.model.errors import ProblemsFound

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

_UNIT = """\
# Made by: sanjin node unit. Once: useradd --system --home-dir /var/lib/{name} --shell /usr/sbin/nologin {user}
# Then give the node its settings as that user (see docs/howto/deploy.md), and: systemctl enable --now {name}
[Unit]
Description=Sanjin node ({name})
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={program} node
# not DynamicUser: runs outlive the service, and their user must not be given to another meanwhile
User={user}
Group={user}
StateDirectory={name}
StateDirectoryMode=0700
CacheDirectory={name}
Environment=SANJIN_STATE=%S/{name} SANJIN_LOG=json NUMBA_CACHE_DIR=%C/{name} PYTHONUNBUFFERED=1

# a replica that was taken over ends by itself and must come back as the one that waits; wrong settings need a person
Restart=always
RestartSec=2
RestartPreventExitStatus=2 3 5
# only the node is asked to end: jobs go on, and the next start finds them
KillMode=process
TimeoutStopSec=60
LimitNOFILE=65536
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=no
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
# Not set, on purpose. For the sandboxes of jobs (bubblewrap makes user namespaces and mounts /proc in them):
# RestrictNamespaces, ProtectProc, ProcSubset, ProtectKernelTunables, ProtectKernelLogs, PrivateUsers.
# For the compiled kernels: MemoryDenyWriteExecute.

[Install]
WantedBy=multi-user.target
"""


def unit(
    *,
    name: Annotated[str, Parameter(help="Of the service, and its state in /var/lib. 服务名。")] = "sanjin",
    user: Annotated[str, Parameter(help="The system user that it runs as. 系统用户。")] = "sanjin",
    program: Annotated[Path | None, Parameter(help="The sanjin to run (default: this one). 程序路径。")] = None,
) -> None:
    """Print a systemd unit for a node: write it to /etc/systemd/system/NAME.service. 打印 systemd 单元。"""
    for option, value in (("--name", name), ("--user", user)):
        if not _NAME.fullmatch(value):
            raise ProblemsFound([problem("unit_name", option, value=value)])
    found = program or Path(shutil.which(sys.argv[0]) or Path(sys.executable).parent / "sanjin")
    there = str(found.absolute())
    # what lies in a home must be seen, but not written
    home = "read-only" if there.startswith(("/home/", "/root/")) else "yes"
    print(_UNIT.format(name=name, user=user, program=there, home=home), end="")
