"""The host's ways out of its network, carried into the guest."""

from __future__ import annotations

from pathlib import Path

from tests.unit.authority import make_authority
from tests.vm.conftest import BOOT, FIRST_UP, Cli
from tests.vm.forward_proxy import forwarding

FETCH_ONE = """
format='$(REPO_URI)dists/$(RELEASE)/InRelease'
url=$(apt-get indextargets --no-release-info --format "$format" 'Created-By: Packages' | head -n 1)
/usr/lib/apt/apt-helper download-file "$url" /tmp/InRelease
"""


def test_a_proxy_on_the_host_s_loopback_and_an_authority_serve_the_guest(instance: Cli, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "ca.crt")
    with forwarding() as proxy:
        behind = Cli(instance.home, (("EBPF_DEV_PROXY", proxy.url), ("EBPF_DEV_CA", str(authority))))
        port = proxy.url.rsplit(":", 1)[1]
        try:
            behind("up", "proxied", timeout=FIRST_UP)
            assert behind.guest("printenv", "http_proxy", instance="proxied").strip() == f"http://10.0.2.2:{port}"
            # One file as apt fetches all of them; reading whole lists takes an emulated processor minutes.
            behind.guest("sh", "-c", FETCH_ONE, instance="proxied")
            assert any("InRelease" in url for url in proxy.asked), proxy.asked
            behind("cp", "-i", "proxied", str(authority), ":/root/ca.crt")
            for store in ("-CApath /etc/ssl/certs", "-CAfile /etc/ssl/certs/ca-certificates.crt"):
                behind.guest("sh", "-c", f"openssl verify {store} /root/ca.crt", instance="proxied")
            # Without it, and without a restart.
            alone = Cli(instance.home, (("EBPF_DEV_CA", str(authority)),))
            assert "Updating mirror" in alone("up", "proxied", timeout=BOOT).stderr
            forgotten = "! printenv http_proxy && ! ls /etc/apt/apt.conf.d/*ebpf-dev-proxy"
            instance.guest("sh", "-c", forgotten, instance="proxied")
        finally:
            behind("delete", "proxied", timeout=BOOT)
