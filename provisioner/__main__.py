"""``ebpf-dev``: the one error boundary and the map from errors to exit statuses."""

from __future__ import annotations

import os
import sys

from provisioner.core.errors import INTERRUPTED, EbpfDevError, host_refused


def main() -> None:
    """Run the command line and exit: 0 fine, 2 usage, then one status a family (see ``core/errors.py``)."""
    sys.exit(_run(sys.argv[1:]))


def _run(argv: list[str]) -> int:
    from provisioner.cli.app import invoke

    try:
        return invoke(argv)
    except EbpfDevError as exc:
        return _show(exc)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`ebpf-dev logs | head`): nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as exc:
        if exc.errno is None:
            raise
        return _show(host_refused(exc))


def _show(error: EbpfDevError) -> int:
    from provisioner.ui import render_error

    render_error(error)
    return error.exit_status


if __name__ == "__main__":
    main()
