"""A program that looks like QEMU from outside: its options, its control socket, its console, an SSH banner.

Installed on PATH by ``install``. What it does is told per accelerator in the environment variable
``FAKE_QEMU``, a JSON object such as ``{"kvm": "internal-error", "tcg": "boot"}``:

boot             the banner comes on the third connection, the power button works
silent           everything but the banner
mute             not even a console
panic            the kernel panics on the console
die              it complains about its accelerator and ends
no-space         it complains about a full disk and ends
internal-error   the guest stops at once
io-error         the guest stops at once, and runs when told to go on
deaf             boots, but the power button does nothing
unsaveable       boots, and fails when it is to save its memory
strange          boots, and saves its memory in a form that nobody knows
unloadable       boots, and ends when it is to take in saved memory

``FAKE_QEMU_VERSION`` replaces the version it claims to have; with ``FAKE_QEMU_PLAIN`` it cannot leave shared
memory out of what it saves.

A guest that runs changes its disk, and what it saves has a digest of it: memory that is loaded beside another
disk is refused with MISMATCH. What the host asks on its channel is answered at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

PAGE = 4096
MISMATCH = "the disk has moved on without this memory"


def install(directory: Path) -> None:
    """Put ``qemu-system-x86_64`` and ``qemu-img`` into ``directory``, to be found first on PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("qemu-system-x86_64", "qemu-img"):
        program = directory / name
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' {name} \"$@\"\n")
        program.chmod(0o755)


def qemu_img(words: list[str]) -> int:
    if words[0] == "info":
        print(json.dumps({"virtual-size": 2**30}))
        return 0
    if Path(words[words.index("-b") + 1]).name == "huge.qcow2":
        print("qemu-img: error while writing: No space left on device", file=sys.stderr)
        return 1
    Path(words[-2]).write_text(json.dumps(words))
    return 0


def saved_stream(pages: dict[int, bytes], size: int, devices: bytes) -> bytes:
    """A machine as QEMU writes it: its memory with these pages, all others zeros, and then its devices.

    Not all of the zeros are in it; that would be half a million records.
    """
    number, end = struct.pack(">I", 2), struct.pack(">Q", 0x10)
    footer = b"\x7e" + number
    start = b"\x01" + number + b"\x03ram" + struct.pack(">II", 0, 4)
    blocks = struct.pack(">Q", size + PAGE | 4)
    for name, length in ((b"pc.ram", size), (b"pc.bios", PAGE)):
        blocks += bytes([len(name)]) + name + struct.pack(">Q", length)
    records = struct.pack(">Q", 0x08) + b"\x07pc.bios" + b"B" * PAGE
    records += struct.pack(">Q", 0x02) + b"\x06pc.ram\0"
    for place in range(PAGE, 32 * PAGE, PAGE):
        page = pages.get(place)
        records += struct.pack(">Q", place | 0x20 | (0x08 if page else 0x02)) + (page or b"\0")
    begin = b"QEVM" + struct.pack(">I", 3) + b"\x07" + struct.pack(">I", 3) + b"q35"
    parts = b"\x02" + number + records + end + footer + b"\x03" + number + end + footer
    return begin + start + blocks + end + footer + parts + b"\x04" + devices


class FakeQemu:
    def __init__(self, words: list[str]) -> None:
        self.options = [word.replace(",,", "\0") for word in words]
        self.behaviour = json.loads(os.environ["FAKE_QEMU"])[self.after("-accel").split(",")[0]]
        self.state = {"internal-error": "internal-error", "io-error": "io-error"}.get(self.behaviour, "running")
        if "-incoming" in self.options:
            self.state = "inmigrate"
        self.migration = "none"
        self.descriptors: list[int] = []
        self.connections = 0
        self.disk = Path(self.path("if=none,id=root", "file="))
        self.listener = socket.create_server(("127.0.0.1", 0))

    @property
    def memory(self) -> int:
        """Bytes."""
        return int(self.after("-m")[:-1]) * 2**20

    def after(self, option: str) -> str:
        return self.options[self.options.index(option) + 1].replace("\0", ",")

    def path(self, prefix: str, key: str = "path=") -> str:
        value = next(word for word in self.options if word.startswith(prefix))
        return value.partition(key)[2].partition(",")[0].replace("\0", ",")

    def run(self) -> int:
        Path(self.after("-pidfile")).write_text(f"{os.getpid()}\n")
        if self.behaviour == "die":
            accelerator = self.after("-accel").split(",")[0]
            print(f"qemu-system-x86_64: failed to initialize {accelerator}: Broken", file=sys.stderr)
            return 1
        if self.behaviour == "no-space":
            print("qemu-system-x86_64: root: No space left on device", file=sys.stderr)
            return 1
        self.write_console()
        if any("share=on" in word for word in self.options):
            os.truncate(self.path("memory-backend-file", "mem-path="), self.memory)
        if self.state == "running":
            self.change_disk()
        for serve in (self.serve_ssh, self.serve_channel):
            threading.Thread(target=serve, daemon=True).start()
        self.serve_control()
        return 0

    def change_disk(self) -> None:
        """What every guest does as soon as it runs."""
        with self.disk.open("ab") as disk:
            disk.write(os.urandom(8))

    def devices(self) -> bytes:
        return b"devices, and of the disk " + hashlib.sha256(self.disk.read_bytes()).digest()

    def saved_state(self) -> bytes:
        if self.behaviour == "strange":
            return b"strange" * 10**6 + self.devices()
        pages = {PAGE * at: bytes([at]) * PAGE for at in (3, 4, 7, 31)}
        return saved_stream(pages, self.memory, self.devices())

    def serve_channel(self) -> None:
        """The keeper in the guest: every request is answered with its first word."""
        channel = self.path("pipe,id=host")
        # Both held open for reading and writing, so that a client that goes away does not end them.
        requests, answers = (os.open(channel + end, os.O_RDWR) for end in (".in", ".out"))
        with os.fdopen(requests, "rb", buffering=0) as stream:
            for line in stream:
                os.write(answers, line.split()[0] + b"\n")

    def write_console(self) -> None:
        text = (
            "[    0.1] Kernel panic - not syncing: VFS\r\n"
            if self.behaviour == "panic"
            else "\x1b[1mHi\x1b[0m\r\n"
        )
        Path(self.path("file,id=console")).write_bytes(b"" if self.behaviour == "mute" else text.encode())

    def serve_ssh(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            self.connections += 1
            mute = self.behaviour in ("silent", "mute", "panic", "internal-error")
            answers = not mute and self.state == "running"
            if self.connections >= 3 and answers:
                connection.sendall(b"SSH-2.0-Fake\r\n")
            connection.close()

    def serve_control(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path("socket,id=qmp"))
        server.listen(10)
        while True:
            connection, _ = server.accept()
            with connection:
                if self.serve_client(connection):
                    return

    def serve_client(self, connection: socket.socket) -> bool:
        connection.sendall(json.dumps({"QMP": {"version": {}}}).encode() + b"\n")
        while True:
            # One request at a time: a client waits for each answer.
            line, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
            if not line:
                return False
            self.descriptors = descriptors or self.descriptors
            request = json.loads(line)
            answer = self.execute(request["execute"], request.get("arguments", {}))
            said = json.dumps({"event": "SOMETHING"}) + "\n" + json.dumps(answer) + "\n"
            connection.sendall(said.encode())
            if answer.get("quit"):
                return True

    def migrate(self) -> None:
        self.migration = "active"
        with socket.socket(fileno=self.descriptors.pop()) as target:
            try:
                if self.behaviour == "unsaveable":
                    raise OSError
                target.sendall(self.saved_state())
                self.state, self.migration = "postmigrate", "completed"
            except OSError:
                self.migration = "failed"

    def execute(self, command: str, arguments: dict[str, str]) -> dict[str, object]:
        if command == "query-uuid":
            return {"return": {"UUID": self.after("-uuid")}}
        if command == "query-status":
            return {"return": {"status": self.state}}
        if command == "human-monitor-command":
            port = self.listener.getsockname()[1]
            return {"return": f"  TCP[HOST_FORWARD]  13  127.0.0.1 {port}  10.0.2.15    22     0     0\r\n"}
        if command == "query-rx-filter":
            return {"return": [{"name": "net0", "multicast-table": ["01:00:5e:00:00:01"]}]}
        if command == "query-migrate":
            return {"return": {"status": self.migration}}
        if command == "stop":
            self.state = "paused"
        if command == "migrate":
            threading.Thread(target=self.migrate).start()
        if command == "migrate-incoming":
            if self.behaviour == "unloadable":
                print("qemu-system-x86_64: load of migration failed: Invalid argument", file=sys.stderr)
                os._exit(1)
            state = subprocess.check_output(["sh", "-c", arguments["uri"].removeprefix("exec:")])
            if not state.endswith(self.devices()):
                print(MISMATCH, file=sys.stderr, flush=True)
                os._exit(1)
            self.state = "paused"
        if command == "cont":
            if self.state != "running":
                self.change_disk()
            self.state = "running"
        if command == "quit" or (command == "system_powerdown" and self.behaviour != "deaf"):
            return {"return": {}, "quit": True}
        return {"return": {}}


def main(words: list[str]) -> int:
    if words[0] == "qemu-img":
        return qemu_img(words[1:])
    if words[1] == "--version":
        print(f"QEMU emulator version {os.environ.get('FAKE_QEMU_VERSION', '8.2.0')} (Fake)")
        return 0
    if words[1:3] == ["-machine", "none"]:
        known = [{"capability": "x-ignore-shared", "state": False}] if "FAKE_QEMU_PLAIN" not in os.environ else []
        print(json.dumps({"return": {}}), json.dumps({"return": known}), sep="\n")
        return 0
    if words[1:3] == ["-accel", "help"]:
        print("Accelerators supported in QEMU binary:\ntcg\nkvm")
        return 0
    return FakeQemu(words[1:]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
