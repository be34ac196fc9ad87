"""The host's ways out of its network, carried into the guest."""

from __future__ import annotations

from tests.vm.conftest import BOOT, Cli
from tests.vm.forward_proxy import forwarding


def test_a_proxy_on_the_host_s_loopback_serves_the_guest(instance: Cli) -> None:
    with forwarding() as proxy:
        behind = Cli(instance.home, (("EBPF_DEV_PROXY", proxy.url),))
        port = proxy.url.rsplit(":", 1)[1]
        try:
            behind("up", "proxied", timeout=BOOT)
            assert behind.guest("printenv", "http_proxy", instance="proxied").strip() == f"http://10.0.2.2:{port}"
            behind("exec", "-i", "proxied", "--", "apt-get", "update", "-q", timeout=BOOT)
            assert any("InRelease" in url for url in proxy.asked), proxy.asked
        finally:
            behind("delete", "proxied", timeout=BOOT)
