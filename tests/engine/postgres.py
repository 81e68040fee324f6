"""A PostgreSQL server of the test's own: initdb in a scratch folder, a unix socket, no port on any network."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def find_server() -> Path | None:
    """The folder of ``initdb``: on the path, or where Debian puts it."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((f for f in reversed(found) if (f / "initdb").is_file()), None)


@contextmanager
def server(programs: Path, *, password: str) -> Generator[str]:
    """A running cluster; gives the folder of its socket. The superuser is ``headwater``; it stops when the block ends."""
    with tempfile.TemporaryDirectory(prefix="hw-pg-") as made:
        folder = Path(made)
        (folder / "password").write_text(password, encoding="utf-8")
        who = _not_root()
        if who is not None:
            os.chown(folder, who.pw_uid, who.pw_gid)
            os.chown(folder / "password", who.pw_uid, who.pw_gid)

        def run(*command: str) -> None:
            subprocess.run(
                [str(programs / command[0]), *command[1:]],
                check=True,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": made},
                stdout=subprocess.DEVNULL,
                user=who.pw_uid if who else None,
                group=who.pw_gid if who else None,
                extra_groups=[] if who else None,
            )

        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "headwater", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "-E", "UTF8", "--no-sync")  # fmt: skip
        settings = f"-c listen_addresses= -c unix_socket_directories={made} -c fsync=off"
        run("pg_ctl", "-D", data, "-o", settings, "-l", str(folder / "log"), "-w", "start")
        try:
            yield made
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def _not_root() -> pwd.struct_passwd | None:
    """The user the server runs as where the tests run as root, which it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("tests run as root and there is no other user to run the server as")
