"""Give up what a model has no need of, and become another program: ``python -I -S unplugged.py PROGRAM ARGUMENT ...``.

The program starts in a network namespace of its own: it reaches no other machine, no port of this one, and no abstract
socket; a loopback of its own is there. Files and the user are what they were. Where the system does not allow this the
program starts all the same, with the network: the gate looks which of the two it is (``gate.engines.process``), and
says it. ``--network`` before the program leaves it the network.

It has no capability, and cannot get one: not even the superuser's program walks back into the gate's network or reads
the gate's environment in ``/proc``, and it opens files of other users only where these let everybody. What it starts
and leaves behind becomes its child, so that the gate finds it. ``--die-with-parent``: it is killed once the thread that
started it is gone. Where memory runs out, it is the first to be ended. Linux only; elsewhere the program just starts.

Runs before anything else is loaded, since only a process of one thread may leave its user namespace. It stands alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
CAPABILITY_VERSION = 0x20080522  # the third one: two words of 32 for each set
CAPABILITIES = 64


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


def give_up_capabilities() -> None:
    """No capability now, and none by what is executed later: not by uid 0, a set-user-ID file, or a file that has some.

    Each step only takes something away, so one that the system does not know of or allow is left out.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice
    libc.capset(header, none)


def be_the_first_to_go() -> None:
    """Where memory runs out, the system ends this process and what it starts, and not the gate or anybody else."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # the most; to raise it takes no right


def main() -> None:
    """Run as a script."""
    program, asked = sys.argv[1:], []
    while program[0].startswith("--"):
        asked.append(program.pop(0))
    if sys.platform == "linux":
        be_the_first_to_go()
        if "--network" not in asked and works():
            unplug()
        give_up_capabilities()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if "--die-with-parent" in asked:  # last: a change of credentials takes it back
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
