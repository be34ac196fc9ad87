"""Rules about the packet: how far it may be read, and when pointers into it become void."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.bpf.explain.calls import last_call
from provisioner.bpf.explain.registers import describe_bytes, number_range
from provisioner.bpf.explain.rules import Facts, Rule, about_access, about_register
from provisioner.bpf.explain.verifier_log import Register, VerifierLog

#: Helpers after which the packet may lie elsewhere (bpf_helper_changes_pkt_data() in net/core/filter.c).
_MOVING = (
    r"bpf_xdp_adjust_(head|tail|meta)|bpf_skb_(change_\w+|pull_data|store_bytes|adjust_room|vlan_(push|pop)"
    r"|set_tunnel_\w+)|bpf_l[34]_csum_replace|bpf_clone_redirect|bpf_msg_(pull|push|pop)_data|bpf_lwt_\w+"
)


def _packet(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    name = f"R{groups['reg']}"
    start, size, checked = int(groups["off"]), int(groups["size"]), int(groups["checked"] or 0)
    variable = groups["id"] not in ("", "0") or _is_variable(log.registers.get(name))
    place = f"{name} points into the packet{', behind a part that varies' if variable else ''}"
    known = f"its first {checked} bytes are known to be there" if checked else "nothing of it is known to be there"
    return {
        "register": name,
        "range": f"{place}; {known}, and the access is to {describe_bytes(start, size)}.",
        "pointer": "p" if variable else "data",
        "end": str(start + size),
    }


def _is_variable(register: Register | None) -> bool:
    return register is not None and number_range(register) != (None, None)


def _packet_offset(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    return {"pointer": "p", "end": "SIZE", **about_register(groups, log)}


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
        r"invalid access to packet(?: \w+)?, off=(?P<off>-?\d+) size=(?P<size>\d+), "
        r"R(?P<reg>\d+)\((?:id=(?P<id>\d+))?.*?(?:r=(?P<checked>\d+))?\)",
        "A packet may be read only as far as a comparison with data_end has shown that it reaches.",
        "Compare before the access, through the same pointer: if ({pointer} + {end} > data_end) return XDP_PASS; "
        "(TC_ACT_OK in tc; {pointer} as void * or char *)",
        _packet,
    ),
    Rule(
        "packet-bounds",
        r"^R(?P<reg>\d+) offset is outside of the packet",
        "A packet may be read only as far as a comparison with data_end has shown that it reaches.",
        "Bound the offset first (offset &= 63), add it to the pointer, and compare that same pointer: "
        "if ({pointer} + {end} > data_end) return XDP_PASS;",
        _packet_offset,
    ),
    Rule(
        "packet-moved",
        r"^R(?P<reg>\d+) invalid mem access '(?:scalar|inv)'",
        "After {helper}() the packet may lie elsewhere; every pointer into it from before is void.",
        "Load both again after the call, data = (void *)(long)ctx->data and data_end, and compare once more.",
        _moved_packet,
    ),
    Rule(
        "packet-read-only",
        r"cannot write into packet",
        "This type of program may read packets and not change them.",
        "Write from an xdp or tc program, or with bpf_skb_store_bytes() where that helper is allowed.",
        about_access,
    ),
)
