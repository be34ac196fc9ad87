# Sourced by examples/quickstart and tests/run: a virtual environment from whatever Python the host has.
# Their bash may be the 3.2 that macOS has, to which an empty array is an unbound variable: ${a[@]+"${a[@]}"}.

# The newest of the usual names that is at least 3.10.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.10 or newer is needed to run ebpf-dev, and none was found." >&2
    if command -v brew >/dev/null; then
        echo "\`brew install python\` installs one." >&2
    fi
    return 1
}

# Debian and Ubuntu keep ensurepip, without which a virtual environment has no pip, in a package of its own.
ensure_venv_module() {
    local python=$1 package answer sudo=()
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    if ! command -v apt-get >/dev/null; then
        echo "$python cannot make virtual environments (no ensurepip); install that part of Python." >&2
        return 1
    fi
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    echo "Installing $package: it lets Python make the virtual environment that ebpf-dev goes into."
    if [ "${#yes[@]}" -eq 0 ]; then
        read -r -p "Install it with apt-get? [Y/n] " answer
        case "$answer" in "" | y* | Y*) ;; *) return 1 ;; esac
    fi
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    ${sudo[@]+"${sudo[@]}"} apt-get update -q
    ${sudo[@]+"${sudo[@]}"} apt-get install -y -q --no-install-recommends "$package"
}

# make_venv DIR WHAT: install WHAT into DIR unless it is there and newer than pyproject.toml.
make_venv() {
    local dir=$1 what=$2 python
    python=$(find_python)
    ensure_venv_module "$python"
    if [ ! -x "$dir/bin/python" ] || ! "$dir/bin/python" -m pip --version >/dev/null 2>&1; then
        echo "Making the virtual environment $dir"
        rm -rf "$dir"
        "$python" -m venv "$dir"
    fi
    if [ ! -e "$dir/installed" ] || [ pyproject.toml -nt "$dir/installed" ]; then
        echo "Installing ebpf-dev and its Python libraries into $dir"
        "$dir/bin/python" -m pip install -q --disable-pip-version-check -e "$what"
        touch "$dir/installed"
    fi
}
