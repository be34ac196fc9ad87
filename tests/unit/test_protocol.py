"""The runner's argv and messages; the sample lines are what a real runner said in a Debian 13 guest."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from provisioner.bpf import protocol
from provisioner.bpf.protocol import RunnerOptions, parse_message
from provisioner.core.errors import AttachError, EbpfDevError, GuestError, LoadError, UsageError

MESSAGE_H = Path(protocol.__file__).parents[1] / "runner" / "message.h"


def test_argv_of_the_plainest_run() -> None:
    assert RunnerOptions("/tmp/x.o").argv("/opt/runner") == ["/opt/runner", "--object", "/tmp/x.o"]


def test_argv_of_a_companion() -> None:
    options = RunnerOptions("x.o", companion="/tmp/x", arguments=["-v", "--for"], seconds=3)
    assert options.argv("runner") == (
        ["runner", "--object", "x.o", "--companion", "/tmp/x", "--for", "3", "--", "-v", "--for"]
    )


def test_argv_of_every_option() -> None:
    options = RunnerOptions(
        "x.o",
        seconds=2.5,
        trace=True,
        device="eth1",
        cgroup="/sys/fs/cgroup/mine",
        attach_to="pass",
        programs=["a", "b"],
        triggers=["ls /; true"],
        log_dir="/tmp/log",
        passive=True,
        bin="/bin/bash:readline",
        own_binary="/tmp/x",
        pid=7,
        settings=["my_pid=7"],
        map_entries=[("rules", "1={2,3}")],
        license="GPL",
    )
    assert options.argv("runner")[3:] == (
        ["--for", "2.5", "--trace", "--dev", "eth1", "--cgroup", "/sys/fs/cgroup/mine", "--attach-to", "pass"]
        + ["--log-dir", "/tmp/log", "--passive", "--bin", "/bin/bash:readline", "--own-binary", "/tmp/x"]
        + ["--pid", "7"]
        + ["--prog", "a", "--prog", "b", "--trigger", "ls /; true"]
        + ["--set", "my_pid=7", "--map", "rules", "1={2,3}", "--license", "GPL"]
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"type":"stage","name":"load","ok":true,"seconds":0.056}',
            protocol.Stage("load", True, 0.056),
        ),
        (
            '{"type":"program","name":"xdp_count","section":"xdp","program_type":"xdp","state":"attached",'
            '"target":"ebpf0","reason":null,"run_count":147,"run_time_ns":2941055,'
            '"verdicts":{"XDP_DROP":11,"XDP_PASS":136}}',
            protocol.Program(
                "xdp_count",
                "xdp",
                "xdp",
                "attached",
                "ebpf0",
                None,
                147,
                2941055,
                {"XDP_DROP": 11, "XDP_PASS": 136},
            ),
        ),
        (
            '{"type":"testbed","device":"ebpf0","addresses":["192.0.2.1"],"peer_addresses":["192.0.2.2"]}',
            protocol.Testbed("ebpf0", ["192.0.2.1"], ["192.0.2.2"]),
        ),
        (
            '{"type":"printk","comm":"sh","pid":2270,"cpu":0,"time":2083.92828,"text":"exec by \\"sh\\""}',
            protocol.Printk('exec by "sh"', "sh", 2270, 0, 2083.92828),
        ),
        ('{"type":"printk","text":"second line"}', protocol.Printk("second line")),
        (
            '{"type":"event","map":"rb","struct":"struct event","fields":{"pid":1,"kind":"KIND_B"}}',
            protocol.Event("rb", "struct event", {"pid": 1, "kind": "KIND_B"}),
        ),
        ('{"type":"event","map":"rb2","hex":"78797a"}', protocol.Event("rb2", hex="78797a")),
        ('{"type":"lost","source":"pb","count":12}', protocol.Lost("pb", 12)),
        ('{"type":"trigger","command":"ls","text":"a"}', protocol.Trigger("ls", "a")),
        ('{"type":"trigger","command":"ls","status":0}', protocol.Trigger("ls", status=0)),
        (
            '{"type":"iterator","program":"dump","text":"1 systemd\\n"}',
            protocol.Iterator("dump", "1 systemd\n"),
        ),
        (
            '{"type":"iterator","program":"dump","struct":"struct task","guessed":true,'
            '"records":[{"fields":{"pid":1}}]}',
            protocol.Iterator("dump", records=[{"fields": {"pid": 1}}], struct="struct task", guessed=True),
        ),
        (
            '{"type":"map","name":"pc","map_type":"percpu_array","entries":[{"key":1,"value":-33}]}',
            protocol.MapDump("pc", "percpu_array", [{"key": 1, "value": -33}]),
        ),
        (
            '{"type":"change","map":".bss","entries":[{"key":"kills","value":2}],"more":1}',
            protocol.Change(".bss", [{"key": "kills", "value": 2}], 1),
        ),
        (
            '{"type":"verifier","program":"bad","path":"/tmp/bad.verifier.log"}',
            protocol.VerifierLog("bad", "/tmp/bad.verifier.log"),
        ),
        ('{"type":"log","level":"warning","text":"odd"}', protocol.Log("warning", "odd")),
        (
            '{"type":"error","code":"verifier-rejected","brief":"b","details":"d","hint":"h",'
            '"program":"bad","file":"bad.bpf.c","line":5}',
            protocol.RunnerError("verifier-rejected", "b", "d", "h", "bad", "bad.bpf.c", 5),
        ),
        ('{"type":"done","status":7,"reason":"error"}', protocol.Done(7, "error")),
    ],
)
def test_every_message_is_understood(line: str, message: protocol.Message) -> None:
    assert parse_message(line) == message


def test_numbers_of_64_bits_stay_exact() -> None:
    message = parse_message('{"type":"event","map":"m","fields":{"n":18446744073709551615}}')
    assert isinstance(message, protocol.Event)
    assert message.fields == {"n": 2**64 - 1}


def test_unknown_fields_are_ignored() -> None:
    line = '{"type":"lost","source":"pb","count":1,"since":"a later version"}'
    assert parse_message(line) == protocol.Lost("pb", 1)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "runner: Segmentation fault",
        "[]",
        "7",
        "null",
        '"text"',
        "{}",
        '{"type":"stage"',
        '{"type":["stage"]}',
        '{"type":"from the future","x":1}',
        '{"type":"stage","name":"load"}',
        '{"type":"stage","name":"load","ok":1,"seconds":1}',
        '{"type":"lost","source":"pb","count":true}',
        '{"type":"lost","source":"pb","count":"12"}',
        '{"type":"stage","name":null,"ok":true,"seconds":1}',
        '{"type":"map","name":"m","map_type":"hash","entries":{}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_message_becomes_a_stray_line(line: str) -> None:
    assert parse_message(line) == protocol.Log("stray", line)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("open-failed", LoadError),
        ("load-failed", LoadError),
        ("verifier-rejected", LoadError),
        ("missing-license", LoadError),
        ("bad-parameter", UsageError),
        ("attach-failed", AttachError),
        ("runner-failed", GuestError),
    ],
)
def test_an_error_belongs_to_its_family(code: str, family: type[EbpfDevError]) -> None:
    error = protocol.RunnerError(code, "brief", "details", "hint").as_exception()
    assert type(error) is family
    assert (error.brief, error.details, error.hint, error.code) == ("brief", "details", "hint", code)


def test_an_error_keeps_its_place_in_the_source() -> None:
    error = protocol.RunnerError("load-failed", "b", "", "", "f", "x.c", 3).as_exception()
    assert isinstance(error, LoadError)
    assert (error.file, error.line) == ("x.c", 3)


def _documented_messages() -> dict[str, str]:
    """Message kind -> its words in message.h."""
    comment = MESSAGE_H.read_text().split("*/")[0]
    parts = re.split(r"\n \*   (\w+) +", comment)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_message_h_documents_exactly_the_messages_we_know() -> None:
    assert _documented_messages().keys() == protocol.MESSAGE_KINDS.keys()


@pytest.mark.parametrize("name", protocol.MESSAGE_KINDS)
def test_message_h_documents_every_field(name: str) -> None:
    text = _documented_messages()[name]
    for field in dataclasses.fields(protocol.MESSAGE_KINDS[name]):
        assert re.search(rf"\b{field.name}\b", text), field.name


def test_messages_are_values() -> None:
    assert parse_message(json.dumps({"type": "lost", "source": "a", "count": 1})) == protocol.Lost("a", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.Lost("a", 1).count = 2  # type: ignore[misc]
