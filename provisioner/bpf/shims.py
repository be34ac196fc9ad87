"""Small headers for the guest that its packages lack or that do not suit BPF."""

from __future__ import annotations

import posixpath
import re

from provisioner.bpf.ctext import includes

#: Not included by name, but with -include.
LEGACY_MAPS = "ebpf-dev/legacy-maps.h"

_HEADERS = {
    # glibc's own turns on 128-bit floating point for x86-64, and BPF has none. Every libc header leads here.
    "bits/floatn.h": """\
#ifndef _BITS_FLOATN_H
#define _BITS_FLOATN_H
#define __HAVE_FLOAT128 0
#define __HAVE_DISTINCT_FLOAT128 0
#define __HAVE_FLOAT64X 0
#define __HAVE_FLOAT64X_LONG_DOUBLE 0
#include <bits/floatn-common.h>
#endif
""",
    # What libbpf called its bpf_tracing.h before release 0.0.8.
    "bpf/bpf_trace_helpers.h": "#include <bpf/bpf_tracing.h>\n",
    # libxdp's, which no guest has from the start. Only libxdp's own loaders read the section.
    "xdp/xdp_helpers.h": """\
#ifndef XDP_RUN_CONFIG
#define EBPF_DEV_RUN_CONFIG(name) _##name SEC(".xdp_run_config")
#define XDP_RUN_CONFIG(name) EBPF_DEV_RUN_CONFIG(name)
#define XDP_DEFAULT_RUN_PRIO 50
#define XDP_DEFAULT_CHAIN_CALL_ACTIONS (1 << XDP_PASS)
#endif
""",
    # What maps were defined with before BTF; libbpf 1.0 dropped it. The fields' order is what loaders read.
    LEGACY_MAPS: """\
struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};
""",
}
_ALWAYS = "bits/floatn.h"
_MAP_DEF = re.compile(r"\bstruct\s+bpf_map_def\b\s*(\{)?")


def find_shims(text: str) -> dict[str, bytes]:
    """The headers to send along with a program of this text: name below an include directory -> content."""
    shims = {_ALWAYS: _HEADERS[_ALWAYS]}
    if needs_legacy_maps(text):
        shims[LEGACY_MAPS] = _HEADERS[LEGACY_MAPS]
    for _, name in includes(text):
        if name in _HEADERS:
            shims[name] = _HEADERS[name]
        elif name.startswith("uapi/linux/") and posixpath.normpath(name) == name:
            # The kernel's own tree has these headers below uapi/, an installed system does not.
            shims[name] = f"#include <{name.removeprefix('uapi/')}>\n"
    return {name: content.encode() for name, content in shims.items()}


def needs_legacy_maps(text: str) -> bool:
    """Whether a program defines maps with ``struct bpf_map_def`` and leaves its definition to libbpf."""
    found = [match[1] for match in _MAP_DEF.finditer(text)]
    return bool(found) and not any(found)
