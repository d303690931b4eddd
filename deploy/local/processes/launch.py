"""Become another program that cannot outlive the process that started it.

Run as a script by `process.py`, never imported: `launch.py PARENT SIGNAL ACCOUNT PROGRAM [ARGUMENT...]`. It asks the
kernel to send SIGNAL when PARENT dies (Linux; elsewhere `sweeper.py` alone has to do), changes to ACCOUNT unless that
is `-`, and then execs PROGRAM. A script instead of a `preexec_fn`, because that one is not safe beside threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, death_signal, account, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if account != "-":
        become(account)
    # After the change of account, which clears it.
    if prctl is not None and prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("the process that asked for this one is gone already")
    os.execvp(program[0], program)  # noqa: S606  no shell is wanted


def become(account: str) -> None:
    import pwd  # noqa: PLC0415  does not exist everywhere

    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main()
