"""Turn the network off, and become another program: ``python -I -S unplugged.py PROGRAM ARGUMENT ...``.

The program starts in a network namespace of its own: it reaches no other machine, no port of this one, and no abstract
socket; a loopback of its own is there. Files and the user are what they were. Where the system does not allow this the
program starts all the same, with the network: the gate looks which of the two it is (``gate.engines.process``), and
says it. Linux only; elsewhere the program just starts.

Runs before anything else is loaded, since only a process of one thread may leave its user namespace. It stands alone.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def unplug() -> None:
    """Leave the network. Raises ``OSError`` where the system does not allow it; half of it may then be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET):  # enough for the superuser, whom a user namespace would cost files of others
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    raise_loopback()


def raise_loopback() -> None:
    """Switch on the loopback of the new network, which the parts of a model may use among themselves."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP, b""))


def works() -> bool:
    """Whether it can be done here: a child tries, since half of it could not be undone."""
    child = os.fork()
    if not child:
        failed = 1
        try:
            unplug()
            failed = 0
        finally:
            os._exit(failed)
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    """Run as a script."""
    if sys.platform == "linux" and works():
        unplug()
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
