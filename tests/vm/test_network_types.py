"""Every network program type: attached, run by the testbed's traffic, its verdicts counted, gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.vm.conftest import Cli, kill_group, read_until
from tests.vm.leftovers import left_in
from tests.vm.test_run import RUN, run

PROGRAMS = Path(__file__).parent / "programs"


class Found:
    """A report, by the names of programs and variables."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.programs = {program["name"]: program for program in report["programs"]}
        self.variables = {
            entry["key"]: entry["value"]
            for map_ in report["maps"]
            if map_["name"].startswith(".")
            for entry in map_["entries"]
        }

    def verdicts(self, name: str) -> set[str]:
        """What an attached program that ran decided."""
        program = self.programs[name]
        assert program["state"] == "attached", program
        assert program["run_count"] > 0, program
        return set(program["verdicts"] or {})


def found(cli: Cli, name: str, *words: str) -> Found:
    return Found(run(cli, PROGRAMS / f"{name}.bpf.c", *words))


def test_xdp_redirects_through_maps_filled_by_the_runner(instance: Cli) -> None:
    seen = found(instance, "net_xdp")
    assert seen.report["ok"], seen.report
    assert seen.verdicts("redirects") == {"XDP_REDIRECT", "XDP_PASS"}  # the XSKMAP is empty
    assert seen.verdicts("leaves_by_device") == {"XDP_PASS"}
    assert seen.verdicts("arrives_on_processor") == {"XDP_PASS"}
    assert seen.programs["leaves_by_device"]["target"] == "entries of devices"
    assert seen.programs["second"]["state"] == "skipped"
    assert "--prog second" in seen.programs["second"]["reason"]


def test_the_other_xdp_program_by_name(instance: Cli) -> None:
    seen = found(instance, "net_xdp", "--prog", "second")
    assert seen.verdicts("second") == {"XDP_DROP"}
    assert seen.report["warnings"] == []  # native, though libbpf does not know its section


def test_tc_and_tcx_keep_the_order_of_the_file(instance: Cli) -> None:
    seen = found(instance, "net_tc")
    assert seen.report["ok"], seen.report
    assert seen.verdicts("first") == {"TCX_NEXT"}
    assert seen.verdicts("second") == {"TCX_PASS"}
    assert seen.variables["order_kept"] > 0
    assert seen.variables["order_broken"] == 0
    assert seen.verdicts("classifies") == {"TC_ACT_UNSPEC"}
    assert seen.verdicts("ends_egress") == {"TC_ACT_OK"}
    assert seen.programs["comes_too_late"]["run_count"] == 0
    targets = [program["target"] for program in seen.report["programs"]]
    assert targets == ["ebpf0 ingress"] * 2 + ["ebpf0 egress"] * 3


def test_netkit(instance: Cli) -> None:
    seen = found(instance, "net_netkit")
    assert seen.verdicts("sent_by_us") == {"NETKIT_PASS"}
    assert seen.verdicts("sent_by_peer") == {"NETKIT_NEXT"}


def test_programs_of_sockets_and_namespaces(instance: Cli) -> None:
    seen = found(instance, "net_sockets")
    assert seen.report["ok"], seen.report
    assert seen.programs["filters"]["run_count"] > 0
    assert seen.variables["vlan_frames"] > 0
    assert seen.verdicts("looks_up") == {"SK_PASS"}
    assert seen.variables["assigned"] > 0
    assert seen.verdicts("dissects") == {"BPF_DROP"}
    assert seen.verdicts("selects") == {"SK_PASS"}
    assert seen.variables["selected"] > 0


def test_sockmap_programs_find_sockets_in_their_map(instance: Cli) -> None:
    seen = found(instance, "net_sockmap")
    assert seen.report["ok"], seen.report
    assert seen.programs["parses"]["run_count"] > 0
    assert seen.verdicts("hands_over") == {"SK_PASS"}
    assert seen.verdicts("sends") == {"SK_PASS"}  # the key 0 has a socket
    assert [program["target"] for program in seen.report["programs"]] == ["receiving", "receiving", "sending"]


def test_a_sockmap_that_a_sockops_program_fills(instance: Cli) -> None:
    seen = found(instance, "net_sockops")
    assert seen.variables["put_in"] > 0
    assert seen.verdicts("sends") == {"SK_PASS"}


def test_netfilter(instance: Cli) -> None:
    seen = found(instance, "net_netfilter")
    assert seen.verdicts("accepts") == {"NF_ACCEPT"}
    assert seen.verdicts("drops_output_v6") == {"NF_DROP"}
    targets = [program["target"] for program in seen.report["programs"]]
    assert targets == ["IPv4 LOCAL_IN", "IPv6 LOCAL_OUT"]


def test_programs_of_routes(instance: Cli) -> None:
    seen = found(instance, "net_routes")
    for name in ("comes_in", "goes_out", "is_sent", "ends_segment"):
        assert seen.verdicts(name) == {"BPF_OK"}
    assert "--prog comes_in_too" in seen.programs["comes_in_too"]["reason"]


def test_programs_about_a_program_of_the_same_object(instance: Cli) -> None:
    seen = found(instance, "net_extends")
    assert seen.report["ok"], seen.report
    assert seen.verdicts("asks") == {"XDP_PASS"}  # decide() itself says XDP_ABORTED
    assert seen.programs["decides"]["target"] == "decide of asks"
    assert all(seen.variables[name] > 0 for name in ("replaced", "entered", "left"))


EXTENDS_ANOTHER = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
int seen;
SEC("fexit/func")
int watches(void *ctx) { __sync_fetch_and_add(&seen, 1); return 0; }
"""


def test_a_program_about_another_objects_program(instance: Cli, tmp_path: Path) -> None:
    file = tmp_path / "watches.bpf.c"
    file.write_text(EXTENDS_ANOTHER)
    alone = Found(run(instance, file, "--attach-to", "nobody"))
    assert not alone.report["ok"]
    assert 'no program "nobody" is loaded' in alone.programs["watches"]["reason"]
    other = instance.start("run", str(PROGRAMS / "net_extends.bpf.c"), "--prog", "asks", "--for", "600")
    try:
        read_until(other, "attached", RUN)
        seen = Found(run(instance, file, "--attach-to", "asks"))
    finally:
        kill_group(other)
    assert seen.programs["watches"]["target"] == "asks"
    assert seen.variables["seen"] > 0


def test_a_type_that_the_kernel_lacks_is_named(instance: Cli) -> None:
    seen = found(instance, "net_lirc")
    assert seen.report["error"]["code"] == "attach-failed"
    assert "CONFIG_BPF_LIRC_MODE2" in seen.programs["receives"]["reason"]


def test_a_real_device_by_name(instance: Cli) -> None:
    """Its programs go with the run, the qdisc too; what only the testbed has is refused."""
    instance.guest("sh", "-c", "ip link add one type veth peer name other; ip link set one up")
    try:
        before = left_in(instance)
        assert found(instance, "net_xdp", "--dev", "one").report["ok"]
        assert found(instance, "net_tc", "--dev", "one").report["ok"]
        refused = found(instance, "net_sockets", "--dev", "one").programs
        assert refused["filters"]["target"] == "packet socket on one"
        assert "only the testbed" in refused["selects"]["reason"]
        assert "only the testbed" in found(instance, "net_routes", "--dev", "one").programs["is_sent"]["reason"]
        assert left_in(instance) == before
    finally:
        instance.guest("ip", "link", "delete", "one")


def test_nothing_of_these_types_is_left(instance: Cli) -> None:
    before = left_in(instance)
    for name in ("net_xdp", "net_tc", "net_netkit", "net_sockets", "net_sockmap", "net_routes", "net_extends"):
        instance("run", str(PROGRAMS / f"{name}.bpf.c"), "--for", "1", timeout=RUN)
    assert left_in(instance) == before
