"""Rules about the packet: how far it may be read, and when pointers into it become void."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.bpf.explain.calls import last_call
from provisioner.bpf.explain.registers import describe_bytes, number_range
from provisioner.bpf.explain.rules import Facts, Rule, about_access, about_register, no_facts
from provisioner.bpf.explain.verifier_log import VerifierLog

#: Helpers after which the packet may lie elsewhere (bpf_helper_changes_pkt_data() in net/core/filter.c).
_MOVING = (
    r"bpf_xdp_adjust_(head|tail|meta)|bpf_skb_(change_\w+|pull_data|store_bytes|adjust_room|vlan_(push|pop)"
    r"|set_tunnel_\w+)|bpf_l[34]_csum_replace|bpf_clone_redirect|bpf_msg_(pull|push|pop)_data|bpf_lwt_\w+"
)
#: MAX_PACKET_OFF in kernel/bpf/verifier.c.
_MAX_OFFSET = 0xFFFF
_ACCESS = (
    r"invalid access to packet(?: \w+)?, off=(?P<off>-?\d+) size=(?P<size>\d+), "
    r"R(?P<reg>\d+)\((?:id=(?P<id>\d+))?.*?(?:r=(?P<checked>\d+))?\)"
)
_COMPARED = "A packet may be read only as far as a comparison with data_end has shown that it reaches."
_BOUND_FIRST = (
    "Bound the offset first (i &= 1023), add it to the pointer, and compare that same pointer: "
    "if ((void *)(p + 1) > data_end) return XDP_PASS;"
)


def _packet(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    name = f"R{groups['reg']}"
    start, size, checked = int(groups["off"]), int(groups["size"]), int(groups["checked"] or 0)
    place = f"{name} points into the packet{', behind a part that varies' if _varies(groups, log) else ''}"
    known = f"its first {checked} bytes are known to be there" if checked else "nothing of it is known to be there"
    return {
        "register": name,
        "range": f"{place}; {known}, and the access is to {describe_bytes(start, size)}.",
        "end": str(start + size),
    }


def _varies(groups: Mapping[str, str], log: VerifierLog) -> bool:
    """Whether a number that is not constant has been added to the pointer."""
    register = log.registers.get(f"R{groups['reg']}")
    return groups["id"] not in ("", "0") or bool(register and number_range(register) != (None, None))


def _packet_in_front(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    return _packet(groups, log) if groups["off"].startswith("-") else None


def _packet_far(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    """The offset may be so large that a comparison, though it may be there, tells the verifier nothing."""
    register = log.registers.get(f"R{groups['reg']}")
    if not register or number_range(register) == (None, None):
        return None
    high = number_range(register)[1]
    end = int(groups["off"]) + int(groups["size"])
    return about_register(groups, log) if high is None or high + end > _MAX_OFFSET else None


def _packet_behind(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    return _packet(groups, log) if _varies(groups, log) else None


def _moved_packet(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    name = f"R{groups['reg']}"
    helper = last_call(log, _MOVING)
    if not helper or not any(kind.startswith("pkt") for kind in log.history.get(name, ())):
        return None
    return {
        "register": name,
        "range": f"{name} pointed into the packet before {helper}() and is a mere number since.",
        "helper": helper,
    }


PACKET_RULES = (
    Rule(
        "packet-bounds",
        _ACCESS,
        "What lies in front of the packet, or in front of a place in it that varies, cannot be read.",
        "Compute the whole offset first, as a number that is never negative (if (i < 0) return XDP_PASS;), then "
        "add it to data and compare with data_end.",
        _packet_in_front,
    ),
    Rule(
        "packet-bounds",
        _ACCESS,
        f"A comparison with data_end counts only where the offset in the packet is at most {_MAX_OFFSET}.",
        _BOUND_FIRST,
        _packet_far,
    ),
    Rule(
        "packet-bounds",
        _ACCESS,
        _COMPARED,
        "Compare before the access, through the pointer itself: if ((void *)(p + 1) > data_end) return XDP_PASS; "
        "(TC_ACT_OK in tc; p of the header's own type)",
        _packet_behind,
    ),
    Rule(
        "packet-bounds",
        _ACCESS,
        _COMPARED,
        "Compare before the access, through the same pointer: if (data + {end} > data_end) return XDP_PASS; "
        "(TC_ACT_OK in tc; data as void * or char *)",
        _packet,
    ),
    Rule(
        "packet-bounds",
        r"^R(?P<reg>\d+) offset is outside of the packet",
        _COMPARED,
        _BOUND_FIRST,
        about_register,
    ),
    Rule(
        "packet-moved",
        r"^R(?P<reg>\d+) invalid mem access '(?:scalar|inv)'",
        "After {helper}() the packet may lie elsewhere; every pointer into it from before is void.",
        "Load both again after the call, data = (void *)(long)ctx->data and data_end, and compare once more.",
        _moved_packet,
    ),
    Rule(
        "packet-load",
        r"BPF_LD_\[ABS\|IND\] instructions not allowed for this program type",
        "load_byte(), load_half() and load_word() are for socket filters and tc alone.",
        "Read through ctx->data, compared with ctx->data_end; or bpf_xdp_load_bytes(ctx, offset, &x, sizeof(x)).",
        no_facts,
    ),
    Rule(
        "packet-read-only",
        r"cannot write into packet",
        "This type of program may read packets and not change them.",
        "Write from an xdp or tc program, or with bpf_skb_store_bytes() where that helper is allowed.",
        about_access,
    ),
)
