"""Some commands in some bad environments; ``python -m validation.robustness.environment`` runs all in all."""

from __future__ import annotations

import subprocess

import pytest

from validation.robustness import environment

#: `doctor` runs one kernel, and so needs the cache; `vectors` writes files.
CHOSEN = [
    *(("doctor", name) for name in environment.ENVIRONMENTS if "cache" in name or "read only" in name),
    ("doctor", "nowhere to write"),
    ("doctor", "no torch"),
    ("doctor", "closed stderr"),
    ("vectors", "full output"),
    ("vectors", "full output by patch"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The package with the kernel of `doctor` compiled."""
    base = environment.Base(tmp_path_factory.mktemp("base"))
    with base.setting("usual") as setting:
        assert environment.run("usual", "doctor", setting).status in (0, 1)
    assert environment._kernels(base.package)
    return base


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("command", "name"), CHOSEN)
def test_every_environment_works_or_says_one_line(base, command, name):
    try:
        with base.setting(name) as setting:
            found = environment.run(name, command, setting)
            left = sorted(path.name for path in setting.out.iterdir()) if command == "vectors" else []
    except environment.NotHereError as error:
        pytest.skip(str(error))
    assert found.fault == "", found
    if command == "vectors":
        assert found.status == 2
        assert "No space left on device" in found.lines[0]
        assert left in ([], ["filler"])
    elif name in ("torn cache", "empty cache files"):
        assert "KernelCacheWarning" in found.lines[0]


@pytest.mark.parametrize(
    ("status", "written", "fault"),
    [
        (0, b"", ""),
        (2, b"error: bad\n", ""),
        (0, b"one\ntwo\n", "2 lines"),
        (1, b"Traceback (most recent call last):\n", "traceback"),
        (120, b"Exception ignored in: <stdout>\n", "traceback"),
        (-11, b"", "ended by a signal"),
        (139, b"", "ended by a signal"),
        (120, b"", "status 120"),
    ],
)
def test_faults_are_seen(status, written, fault):
    done = subprocess.CompletedProcess([], status, b"", written)
    assert environment._fault(done, tuple(written.decode().splitlines())) == fault
