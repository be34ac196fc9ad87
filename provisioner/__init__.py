"""ebpf-dev: a Linux VM with a matching eBPF toolchain, and one command that runs any eBPF program in it."""

__version__ = "0.1.0"
