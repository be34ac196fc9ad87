"""Which types go through which map, read off the source."""

import pytest

from provisioner.bpf.anchors import find_event_types, render_anchors


def body(text: str) -> str:
    return f"int prog(void *ctx) {{ {text} }}"


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("struct ev *e; e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);", {"rb": ["struct ev"]}),
        ("struct ev *e = bpf_ringbuf_reserve(&rb, sizeof *e, 0);", {"rb": ["struct ev"]}),
        ("void *e = bpf_ringbuf_reserve(&rb, sizeof(struct ev), 0);", {"rb": ["struct ev"]}),
        ("void *e = bpf_ringbuf_reserve(&rb, sizeof(ev_t), 0);", {"rb": ["ev_t"]}),
        ("struct ev *e = bpf_ringbuf_reserve(&rb, 64, 0);", {"rb": ["struct ev"]}),
        ("struct ev a, b = {}; bpf_ringbuf_output(&rb, &b, sizeof(b), 0);", {"rb": ["struct ev"]}),
        ("const struct ev *a, *b; bpf_ringbuf_output(&rb, b, sizeof(*b), 0);", {"rb": ["struct ev"]}),
        ("u64 id; bpf_perf_event_output(ctx, &ev, F(0), &id, sizeof(id));", {"ev": ["u64"]}),
        ("char c[16]; bpf_perf_event_output(ctx, &ev, F, c, sizeof(c));", {"ev": ["char [16]"]}),
        ("struct ev *e = look(); bpf_perf_event_output(ctx, &ev, 0, e, size);", {"ev": ["struct ev"]}),
        ("char *p = look(); bpf_perf_event_output(ctx, &ev, 0, p, size);", {}),
        ("/* struct ev *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0); */", {}),
        ("struct rec r; bpf_seq_write(seq, &r, sizeof(r));", {"prog": ["struct rec"]}),
        ('print("bpf_ringbuf_reserve(&rb, sizeof(struct ev), 0)");', {}),
    ],
)
def test_types(text: str, types: dict[str, list[str]]) -> None:
    assert find_event_types(body(text)) == types


def test_a_parameter_and_a_global_name_types() -> None:
    text = "struct g event;\n" + body("bpf_ringbuf_output(&rb, &event, sizeof(event), 0);")
    assert find_event_types(text) == {"rb": ["struct g"]}
    text = "int send(void *ctx, struct ev *e) { bpf_ringbuf_output(&rb, e, sizeof(*e), 0); }"
    assert find_event_types(text) == {"rb": ["struct ev"]}


def test_the_nearest_declaration_counts() -> None:
    text = "int f() { struct a *e; }\n" + body("struct b *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);")
    assert find_event_types(text) == {"rb": ["struct b"]}


def test_a_wrapper_that_passes_data_and_size_on_is_followed() -> None:
    text = (
        "static void *reserve(__u64 size) { return bpf_ringbuf_reserve(&events, size, 0); }\n"
        "static long submit(void *ctx, void *buf, __u64 size)\n"
        "{ if (x) { return 0; } return bpf_perf_event_output(ctx, &events, 0, buf, size); }\n"
    )
    text += body("struct ev *e = reserve(sizeof(*e)); struct other o; submit(ctx, &o, sizeof(o));")
    assert find_event_types(text) == {"events": ["struct ev", "struct other"]}


def test_macros_that_send_are_followed() -> None:
    text = (
        "#define send(map, type, fill) { type *one = bpf_ringbuf_reserve(map, sizeof(type), 0); \\\n"
        "    if (one) fill }\n"
        "#define send_to(name, type, fill) send(&name##_events, type, fill)\n"
    )
    text += body("send_to(exec, struct exec, { one->pid = 1; }); send(&exits, struct gone, {})")
    assert find_event_types(text) == {"exec_events": ["struct exec"], "exits": ["struct gone"]}


def test_records_of_an_iterator_go_by_the_programs_name() -> None:
    text = (
        'SEC("iter/task") __attribute__((used)) int tasks(void *ctx) { long n; bpf_seq_write(0, &n, sizeof(n)); }'
    )
    assert find_event_types(text) == {"tasks": ["long"]}
    text = "int BPF_PROG(dump, struct seq_file *m) { __u64 one = 1; bpf_seq_write(m, &one, sizeof(one)); }"
    assert find_event_types(text) == {"dump": ["__u64"]}


def test_several_types_of_a_map_are_numbered() -> None:
    text = render_anchors({"rb": ["struct a", "char [16]"], "pb": ["u32"]})
    assert "__typeof__(struct a) *__ebpf_dev_event_1_rb " in text
    assert "__typeof__(char [16]) *__ebpf_dev_event_2_rb " in text
    assert "__typeof__(u32) *__ebpf_dev_event_pb " in text
    assert render_anchors({}) == ""
