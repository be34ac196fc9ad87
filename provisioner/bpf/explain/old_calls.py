"""System calls that x86-64 has and arm64 has not, and what libc really calls on both.

arm64's table is the kernel's ``include/uapi/asm-generic/unistd.h``, without any call whose work a newer one does.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.bpf.explain.symptom import Symptom

#: Calls whose newer form takes the descriptor of a directory first, so that every argument is one further.
_AT = {
    "open": "openat", "creat": "openat", "unlink": "unlinkat", "rmdir": "unlinkat", "mkdir": "mkdirat",
    "mknod": "mknodat", "rename": "renameat2", "link": "linkat", "symlink": "symlinkat", "readlink": "readlinkat",
    "chmod": "fchmodat", "chown": "fchownat", "lchown": "fchownat", "access": "faccessat", "stat": "newfstatat",
    "lstat": "newfstatat", "utime": "utimensat", "utimes": "utimensat", "futimesat": "utimensat",
}  # fmt: skip
_OTHERS = {
    "fork": "clone", "vfork": "clone", "poll": "ppoll", "select": "pselect6", "pause": "ppoll", "dup2": "dup3",
    "pipe": "pipe2", "epoll_create": "epoll_create1", "epoll_wait": "epoll_pwait", "eventfd": "eventfd2",
    "inotify_init": "inotify_init1", "signalfd": "signalfd4", "getdents": "getdents64", "alarm": "setitimer",
    "time": "clock_gettime", "getpgrp": "getpgid",
}  # fmt: skip


def old_call_symptoms() -> Iterator[Symptom]:
    """One for each such call that a program wanted to watch and the kernel does not have."""
    for name, newer in _AT.items():
        yield _symptom(name, newer, "; its arguments come one later, behind a directory's descriptor")
    for name, newer in _OTHERS.items():
        yield _symptom(name, newer, "")


def _symptom(name: str, newer: str, arguments: str) -> Symptom:
    return Symptom(
        "system-call-old",
        rf"tracepoint '?(?:syscalls/)?sys_(?:enter|exit)_{name}\b"
        rf"|no function (?:that can be probed )?(?:__\w+?_)?sys_{name}\b"
        rf"|no system call {name}\b",
        f"arm64 has no system call {name}, and elsewhere libc hardly calls it.",
        f"Watch {newer} in its place, on x86-64 as well{arguments}: "
        f'SEC("tracepoint/syscalls/sys_enter_{newer}") or SEC("ksyscall/{newer}").',
    )
