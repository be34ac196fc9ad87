from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from provisioner.core.config import PROJECT_FILE, find_project_file, load_settings
from provisioner.core.errors import UsageError
from provisioner.core.host import parse_meminfo, parse_os_release
from provisioner.core.paths import find_paths
from provisioner.core.settings import SETTINGS, Settings, describe_settings
from provisioner.core.sizes import GIB, MIB, format_size, parse_size

Load = Callable[..., Settings]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project, with blanks"
    folder.mkdir()
    return folder


@pytest.fixture
def load(tmp_path: Path, project: Path) -> Load:
    """Settings as seen from the project: ``load(user="...", project="...", env={...}, cpus=4)``."""

    def run(
        user: str | bytes = "",
        project_file: str | bytes = "",
        env: Mapping[str, str] | None = None,
        **flags: object,
    ) -> Settings:
        paths = find_paths({"EBPF_DEV_HOME": str(tmp_path / "home")})
        for path, text in ((paths.config_file, user), (project / PROJECT_FILE, project_file)):
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(paths, project, env or {}, flags)

    return run


def mistakes(load: Load, *args: object, **kwargs: object) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(*args, **kwargs)
    assert caught.value.code == "bad-config"
    assert "image, kernel" in caught.value.hint
    return (caught.value.details or caught.value.brief).splitlines()


def test_defaults(load: Load) -> None:
    settings = load()
    assert (settings.image, settings.backend, settings.accelerator) == ("debian-13", "qemu", "auto")
    assert settings.memory == 2 * GIB
    assert settings.disk == 20 * GIB
    assert 1 <= settings.cpus <= 2
    assert set(settings.origin) == set(SETTINGS)
    assert set(settings.origin.values()) == {"default"}


def test_each_layer_wins_over_the_one_before(load: Load, project: Path) -> None:
    settings = load(
        "image: from-user\ncpus: 1\nmemory: 1G\ndisk: 5G",
        "cpus: 2\nmemory: 2G\ndisk: 6G",
        {"EBPF_DEV_MEMORY": "3G", "EBPF_DEV_DISK": "7G"},
        disk="8G",
    )
    assert (settings.image, settings.cpus, settings.memory, settings.disk) == (
        "from-user",
        2,
        3 * GIB,
        8 * GIB,
    )
    assert settings.origin["image"].endswith("config.yaml:1")
    assert settings.origin["cpus"] == f"{project / PROJECT_FILE}:1"
    assert settings.origin["memory"] == "EBPF_DEV_MEMORY"
    assert settings.origin["disk"] == "--disk"


def test_a_mistake_on_the_command_line_names_the_option(load: Load) -> None:
    with pytest.raises(UsageError) as caught:
        load(packages=["a b"])
    assert caught.value.brief.startswith("--package: packages: ")


def test_flags_not_given_and_empty_variables_change_nothing(load: Load) -> None:
    settings = load(
        "", "cpus: 3", {"EBPF_DEV_CPUS": "", "EBPF_DEV_HOME": "/x", "OTHER": "y"}, cpus=None, packages=()
    )
    assert settings.cpus == 3
    assert settings.packages == ()


def test_a_flag_that_is_no_setting_is_a_bug_of_ours(load: Load) -> None:
    with pytest.raises(KeyError):
        load(colour="red")


def test_lists_replace_each_other(load: Load) -> None:
    assert load("packages: [strace, tcpdump, strace]").packages == ("strace", "tcpdump")
    assert load("packages: [strace]", "packages: [g++, libc6-dev]").packages == ("g++", "libc6-dev")
    assert load("", "", {"EBPF_DEV_PACKAGES": "jq, perf  gdb"}).packages == ("jq", "perf", "gdb")
    assert load(packages=["jq=1.7-1", "perf"]).packages == ("jq=1.7-1", "perf")
    assert load("", "packages: []").packages == ()


def test_optional_settings_can_be_cleared(load: Load) -> None:
    assert load("proxy: http://localhost:3128\narch: arm64").arch == "aarch64"
    assert load("proxy: http://localhost:3128", "proxy:\n").proxy is None
    assert mistakes(load, "memory:\n")[0].endswith(":1: memory: has no value")


def test_certificates_are_found_from_where_they_were_written(load: Load, project: Path, tmp_path: Path) -> None:
    (project / "ours.pem").write_text("certificate")
    (tmp_path / "theirs.pem").write_text("certificate")
    assert load("", "ca: [ours.pem]").ca == (project / "ours.pem",)
    both = f"{tmp_path / 'theirs.pem'}{os.pathsep}ours.pem"
    assert load("", "", {"EBPF_DEV_CA": both}).ca == (tmp_path / "theirs.pem", project / "ours.pem")


def test_the_project_file_is_found_upwards(project: Path) -> None:
    (project / PROJECT_FILE).write_text("cpus: 1")
    deep = project / "src" / "bpf"
    deep.mkdir(parents=True)
    assert find_project_file(deep) == project / PROJECT_FILE


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "~\n", "\ufeffcpus: 1\n"])
def test_files_that_hold_nothing_wrong(load: Load, text: str) -> None:
    assert load("", text).image == "debian-13"


def test_every_mistake_of_every_layer_at_once(load: Load, project: Path) -> None:
    found = mistakes(
        load,
        "memroy: 3G\n",
        "cpus: two\n\nmemory: 2048\nram: 3G\nmemory: 3G\ndisk: [1]\npackages: htop\n? [a]\n: 3\n"
        "backend: vmware\nmirror: ftp://x\nca: [missing.pem, .]\nimage: {}\n",
        {"EBPF_DEV_MEMROY": "1", "EBPF_DEV_ACCELERATOR": "warp"},
        disk="1G",
    )
    file = project / PROJECT_FILE
    assert found[0].endswith("config.yaml:1: memroy: unknown setting; did you mean 'memory'?")
    assert found[1:] == [
        f"{file}:1: cpus: 'two' is not a whole number, such as 2",
        f"{file}:3: memory: 2048 has no unit; write for example 2048M or 2G",
        f"{file}:4: ram: unknown setting; did you mean 'memory'?",
        f"{file}:5: memory: given twice, first in line 3",
        f"{file}:6: disk: must be one value, not a list",
        f"{file}:7: packages: must be a list, such as [one, two], not 'htop'",
        f"{file}:8: a list cannot name a setting",
        f"{file}:10: backend: 'vmware' is not one of: qemu, lima",
        f"{file}:11: mirror: 'ftp://x' is not an address such as http://HOST:PORT/PATH",
        f"{file}:12: ca: {project / 'missing.pem'} does not exist; give the file of a certificate",
        f"{file}:13: image: must be one value, not a mapping",
        "EBPF_DEV_ACCELERATOR: accelerator: 'warp' is not one of: auto, kvm, hvf, tcg",
        "EBPF_DEV_MEMROY: unknown variable; did you mean 'EBPF_DEV_MEMORY'?",
        "--disk: disk: 1G is too small; the least that works is 4G",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpus: 1\nimage: [", ":2: not valid YAML"),
        ("\tcpus: 1", ":1: not valid YAML"),
        ("image: 'x", "not valid YAML"),
        ("cpus: 1\nimage: *x", ":2: not valid YAML"),
        ("cpus: 1\n---\ncpus: 2", ":2: not valid YAML"),
        ("cpus: 1\nimage: \x01", ":2: not valid YAML: it holds U+0001"),
        (b"cpus: 1\nimage: caf\xe9", ":2: not UTF-8 text"),
        ("[" * 3000, "nested too deeply"),
        ("- cpus", ":1: must hold settings such as `memory: 2G`, not a list"),
        ("# x\nhello", ":2: must hold settings such as `memory: 2G`, not 'hello'"),
        ("image: !!python/object/apply:os.system [id]", ":1: image: must be one value, not a list"),
        ("image: !!python/name:os.system x", ":1: image: the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("packages: [[a]]", "packages: the item in line 1 must be text, not a list"),
        ("packages: &a [*a]", "packages: the item in line 1 must be text, not a list"),
        ("packages: [--help, ok, x-, 'a b']", "not the name of a package: '--help', 'x-', 'a b'"),
        ("cpus: true", "cpus: 'true' is not a whole number"),
        ("cpus: 1.5", "cpus: '1.5' is not a whole number"),
        ("memory: 2 parsecs", "memory: '2 parsecs' is not a size"),
        ("memory: 100M", "memory: 100M is too small"),
        ("disk: 99999999T", "disk: 99999999T is more than any machine has"),
        ("arch: sparc", "arch: 'sparc' is not one of: x86_64, aarch64"),
        ('image: "../../etc"', "give a disk image or a catalogue file"),
        ('proxy: "http://h:99999999"', "is not an address"),
        ("""mirror: 'http://h/";DPkg::Pre-Invoke {"id"}'""", "is not an address"),
        ("mirror: 'http://[::1/'", "is not an address"),
    ],
)
def test_broken_files(load: Load, text: str | bytes, words: str) -> None:
    found = mistakes(load, "", text)
    assert len(found) == 1
    assert words in found[0]
    assert PROJECT_FILE in found[0]


def test_a_directory_where_the_file_should_be(load: Load, project: Path) -> None:
    (project / PROJECT_FILE).mkdir()
    assert mistakes(load) == [f"{project / PROJECT_FILE}: is a directory, not a file"]


def test_a_link_to_nowhere_and_a_pipe(load: Load, project: Path) -> None:
    (project / PROJECT_FILE).symlink_to(project / "gone")
    assert mistakes(load) == [f"{project / PROJECT_FILE}: does not exist"]
    (project / PROJECT_FILE).unlink()
    os.mkfifo(project / PROJECT_FILE)
    assert mistakes(load) == [f"{project / PROJECT_FILE}: is not a regular file"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2 * GIB),
        ("2048M", 2 * GIB),
        ("2GiB", 2 * GIB),
        ("2 gb", 2 * GIB),
        ("1.5g", 1536 * MIB),
        ("1T", GIB << 10),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "G", "-2G", "2X", "2G2", "1e3M", "٢G", "0x2G"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_sizes_are_shown_exactly_where_that_is_short() -> None:
    assert [format_size(size) for size in (2047 * MIB, 1536 * MIB, 5_000_000_000, 12)] == [
        "2047M",
        "1.5G",
        "4.7G",
        "12B",
    ]


def test_described_settings_say_where_they_come_from(load: Load) -> None:
    table = {name: (value, origin) for name, value, origin in describe_settings(load(memory="3G"))}
    assert table["memory"] == ("3G", "--memory")
    assert table["packages"] == ("none", "default")
    assert table["proxy"] == ("the host's", "default")


def test_os_release_and_meminfo_are_read() -> None:
    release = parse_os_release('PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nID_LIKE=debian\n# x\n\nBROKEN\n')
    assert release == {"PRETTY_NAME": "Ubuntu 24.04 LTS", "ID": "ubuntu", "ID_LIKE": "debian"}
    assert parse_meminfo("MemTotal: 2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n") == (2 * MIB, MIB)
    assert parse_meminfo("") == (0, 0)
