"""What the verifier knew of a register, in words."""

from __future__ import annotations

import re

from provisioner.bpf.explain.verifier_log import Register

_SIGN = 1 << 63
_KINDS = {
    "scalar": "a number",
    "inv": "a number",
    "fp": "a pointer into the stack",
    "pkt": "a pointer into the packet",
    "map_value": "a pointer to a value of a map",
    "mem": "a pointer to memory",
    "ringbuf_mem": "a pointer to a reserved record",
    "?": "not set to anything",
    "ctx": "the context pointer",
    "pkt_end": "the packet's end (data_end)",
    "pkt_meta": "a pointer to the packet's metadata",
    "map_ptr": "a map itself, not a value in it",
    "map_key": "a pointer to a map's key",
    "flow_keys": "a pointer to the flow keys",
    "buf": "a pointer to a buffer of the kernel's",
    "tp_buffer": "a pointer to the tracepoint's arguments",
    "sock": "a pointer to a socket",
    "sock_common": "a pointer to a socket",
    "tcp_sock": "a pointer to a TCP socket",
    "func": "a function",
    "dynptr": "a dynptr",
}
#: Words that the verifier puts before a pointer's type.
_QUALITIES = {
    "trusted": "trusted",
    "untrusted": "untrusted",
    "rcu": "RCU-protected",
    "rdonly": "read-only",
    "user": "user-space",
    "percpu": "per-CPU",
}


def describe(register: Register) -> str:
    """What ``register`` holds, to stand behind "R1 is "."""
    kind = register.kind.replace("_or_null", "")
    maybe = ", or NULL" if kind != register.kind else ""
    if kind == "scalar":
        return describe_number(register)
    if kind == "pkt":
        return _packet(register)
    if kind == "map_value":
        return f"a pointer to a value of {_map(register)}{_size(register, 'vs')}{_place(register)}{maybe}"
    if kind.endswith("mem"):
        return f"{describe_kind(kind)}{_size(register, 'sz')}{_place(register)}{maybe}"
    return f"{describe_kind(kind)}{_place(register)}{maybe}"


def describe_kind(kind: str) -> str:
    """A register's type alone, as the verifier writes it where it names what it expected: ``map_ptr``, ``fp``."""
    if "_or_null" in kind:
        return f"{describe_kind(kind.replace('_or_null', ''))} or NULL"
    words = kind.rstrip("_").split("_")
    qualities = [_QUALITIES[word] for word in words if word in _QUALITIES]
    plain = "_".join(word for word in words if word not in _QUALITIES)
    if plain in _KINDS:
        return _KINDS[plain]
    struct = plain.removeprefix("ptr").lstrip("_")
    adjectives = "".join(f"{quality} " for quality in qualities)
    article = "an" if adjectives.startswith(("u", "R")) else "a"
    if plain.startswith("ptr"):
        return f"{article} {adjectives}pointer to {f'struct {struct}' if struct else 'a kernel object'}"
    return f"{article} {adjectives}value of type {plain}"


def describe_number(register: Register) -> str:
    """The values that a scalar can have, as far as the verifier could tell."""
    value = register.number("value")
    if value is not None:
        return f"the number {value}"
    low, high = number_range(register)
    if low is None and high is None:
        return "a number that may be anything"
    if low is None:
        return f"a number of at most {high}, maybe negative"
    return f"a number of at least {low}" if high is None else f"a number from {low} to {high}"


def describe_bytes(start: int, size: int) -> str:
    """A place of ``size`` bytes in an object."""
    return f"byte {start}" if size == 1 else f"bytes {start} to {start + size - 1}"


def number_range(register: Register) -> tuple[int | None, int | None]:
    """Smallest and largest value of a number or of a pointer's variable offset; None where there is no bound.

    The verifier leaves out a bound that says nothing, and before Linux 6.8 a signed one that equals the other.
    """
    smin, smax = (_signed(register.number(name, f"{name}_value")) for name in ("smin", "smax"))
    umin, umax = (register.number(name, f"{name}_value") for name in ("umin", "umax"))
    positive = umax is not None and umax < _SIGN
    low = smin if smin is not None else (umin or 0) if positive else None
    high = smax if smax is not None else umax if positive else None
    return low, None if high == _SIGN - 1 else high


def _signed(value: int | None) -> int | None:
    return value - 2 * _SIGN if value is not None and value >= _SIGN else value


def _packet(register: Register) -> str:
    checked = register.number("r") or 0
    known = (
        f"its first {checked} bytes are" if checked > 1 else "its first byte is" if checked else "nothing of it is"
    )
    return f"a pointer into the packet{_place(register)}; {known} known to be there"


def _place(register: Register) -> str:
    """Where in its object a pointer points, unless to the beginning."""
    fixed = register.number("off") or 0
    low, high = number_range(register)
    if low is None and high is None and not register.attributes.get("var_off"):
        return f" at {fixed:+d}" if fixed else ""
    if low is None or high is None:
        return " at an unbounded offset"
    return f" at an offset from {fixed + low} to {fixed + high}"


def _size(register: Register, name: str) -> str:
    size = register.number(name)
    return f" ({size} bytes)" if size is not None else ""


def _map(register: Register) -> str:
    # libbpf names the map of a section "OBJECT.section", of which the kernel keeps 15 characters.
    name = re.sub(r"^.*(?=\.(bss|data|rodata|kconfig))", "", register.attributes.get("map", ""))
    return f"map {name}" if name else "a map"
