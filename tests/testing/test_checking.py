"""Programs that misbehave: the comparison ends, says what happened at which case, and leaves nothing running."""

from __future__ import annotations

import selectors
import sys
import time
import tracemalloc

import psutil
import pytest

from lavadl_ref.testing import vectors
from lavadl_ref.testing.vectors import dialogue
from lavadl_ref.testing.vectors.dialogue import TAIL, Dialogue, DialogueError
from tests import PATIENCE

START = "import json, os, subprocess, sys, time\nask = json.loads(input())\nT, M = ask['steps'], ask['lanes']\n"
ZEROS = "rows = [[0] * M] * T\nanswer = {'spike': rows, 'states': {'current': rows, 'voltage': rows}}\n"


def failure(script, timeout=PATIENCE):
    """The reason why the comparison with a program stopped at its first case."""
    report = vectors.check([sys.executable, "-c", START + ZEROS + script], "CUBA", timeout=timeout)
    assert not report.exact
    assert (report.total, report.equal, report.divergences) == (20, 0, ())
    assert report.failure.startswith("CUBA/usual-slayer: ")
    assert f"stopped: {report.failure}\n0 of 20 cases exact, 0 integers compared" == str(report)
    return report.failure.removeprefix("CUBA/usual-slayer: ")


def gone(pid):
    """Tell whether a process has ended, waited for or not, before patience ends."""
    end = time.monotonic() + PATIENCE
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path):
    note = tmp_path / "pids"
    script = (
        "child = subprocess.Popen(['sleep', '1000000'])\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print('thinking', file=sys.stderr, flush=True)\n"
        "time.sleep(10**6)"
    )
    for limit in (1.5, 10, 100):  # until it thinks within it
        said = failure(script, limit)
        if note.exists():
            break
    assert said == f"no answer within {limit:g} s; it wrote: thinking"
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_a_program_that_ends_leaves_nothing_either(tmp_path):
    note = tmp_path / "pid"
    script = (
        "child = subprocess.Popen(['sleep', '1000000'], stdout=subprocess.DEVNULL)\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))"
    )
    assert failure(script) == "the program ended without an answer, exit status 0"
    assert gone(int(note.read_text()))


def test_a_program_that_never_reads_is_ended():
    sleeper = [sys.executable, "-c", "import time; time.sleep(10**6)"]
    with Dialogue(sleeper, 1.0) as asked, pytest.raises(DialogueError, match=r"^no answer within 1 s$"):
        asked.ask("x" * 2**20)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sys.exit(3)", "the program ended without an answer, exit status 3"),
        ("os.kill(os.getpid(), 9)", "the program ended without an answer, signal 9"),
        ("sys.exit('no such neuron')", "the program ended without an answer, exit status 1; it wrote: no such neuron"),
        ("os.close(1); time.sleep(10**6)", "the program closed its input or output"),
        ("print('{')", "the answer must be a JSON object on one line, got '{': "),
        ("print('hello')", "the answer must be a JSON object on one line, got 'hello': "),
        ("print()", "the answer must be a JSON object on one line, got '': "),
        ("print('[' * 100000)", "the answer must be a JSON object on one line, got '[[[["),
        ("sys.stdout.buffer.write(b'\\xff\\n')", "the answer must be a line of text, got b'\\xff'"),
        ("print([1, 2])", "the answer must be a JSON object, got a list of 2: [1, 2]"),
        ("print('{}')", "the answer must have the keys spike, states, got none"),
        ("answer['v'] = 1", "the answer must have the keys spike, states, got spike, states, v"),
        ("answer['states'] = 3", "states must be a JSON object, got 3"),
        ("del answer['states']['voltage']", "states must have the keys current, voltage, got current"),
        ("answer['spike'] = 0", "spike must be a list of 48 steps, got 0"),
        ("answer['spike'] = rows[1:]", "spike must be a list of 48 steps, got a list of 47: [["),
        ("answer['spike'] = rows[1:] + [[0]]", "spike must have a list of 8 lanes at step 47, got a list of 1: [0]"),
        ("answer['spike'] = [[0.0] * M] * T", "spike must be an integer at step 0, lane 0, got 0.0"),
        ("answer['spike'] = [[False] * M] * T", "spike must be an integer at step 0, lane 0, got false"),
        (
            "answer['states']['voltage'] = [[None] * M] * T",
            "voltage must be an integer at step 0, lane 0, got null",
        ),
    ],
)
def test_text_that_is_no_answer_is_told(script, message):
    end = "" if "print" in script or "write" in script else "\nprint(json.dumps(answer))"
    assert failure(script + end).startswith(message)


def test_an_answer_without_end_is_stopped():
    said = failure("\nwhile True: sys.stdout.write('0' * 2**20)")
    assert said == "the answer must be at most 1,048,576 bytes long, got more"


FLOOD = "sys.stderr.write('x' * 2**20 + 'end')\n"


def test_the_end_of_standard_error_is_kept():
    said = failure(f"{FLOOD}sys.exit(3)")
    assert said == f"the program ended without an answer, exit status 3; it wrote: {'x' * (TAIL - 3)}end"


def test_a_program_that_floods_its_standard_error_is_stopped(monkeypatch):
    """It is stopped at a size, and memory stays the same; else it would take what the time limit lets it write."""
    monkeypatch.setattr(dialogue, "ERROR_LIMIT", 5 * 2**20)
    tracemalloc.start()
    said = failure(f"\nwhile True: {FLOOD}", 200.0)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
    assert said.startswith("the program wrote more than 5,242,880 bytes to its standard error; it wrote: ")
    assert len(said) < TAIL + 100


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_the_time_limit_holds_for_a_program_that_writes_all_the_time(monkeypatch, stream):
    class AlwaysReady(selectors.DefaultSelector):
        """As if the program always had written something."""

        def select(self, timeout=None):
            return super().select(None)

    monkeypatch.setattr(dialogue.selectors, "DefaultSelector", AlwaysReady)
    said = failure(f"\nwhile True: sys.{stream}.write('0'); sys.{stream}.flush(); time.sleep(0.01)", 1.0)
    assert said.startswith("no answer within 1 s")


def test_the_end_of_a_program_is_told_after_much_output():
    said = failure("os.close(1); os.write(2, b'x' * 200_000); os._exit(3)")
    assert said == f"the program ended without an answer, exit status 3; it wrote: {'x' * TAIL}"


def test_a_program_may_write_much_to_its_standard_error_and_be_right():
    """More than a pipe holds, before an answer, after it, and at the end."""
    script = (
        "import json, sys; sys.path.insert(0, '.')\nfrom tests.support.foreign import answer\n"
        "for line in sys.stdin:\n"
        f"    {FLOOD}    print(json.dumps(answer(json.loads(line))), flush=True)\n{FLOOD}"
    )
    report = vectors.check([sys.executable, "-c", script], "CUBA", "slayer", timeout=PATIENCE)
    assert report.exact, str(report)


def test_a_program_may_close_its_standard_error():
    script = (
        "import json, os, sys; sys.path.insert(0, '.')\nfrom tests.support.foreign import answer\nos.close(2)\n"
        "for line in sys.stdin: print(json.dumps(answer(json.loads(line))), flush=True)\n"
    )
    report = vectors.check([sys.executable, "-c", script], "CUBA", "slayer", timeout=PATIENCE)
    assert report.exact, str(report)


def test_an_answer_too_many_is_told():
    right = (
        "from tests.support.foreign import answer\nprint(json.dumps(answer(ask)), 'and more', sep='\\n', flush=True)"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.')\n{START}{right}\ntime.sleep(10**6)"]
    report = vectors.check(command, "CUBA", timeout=PATIENCE)
    assert report.equal == 1
    # which of the two depends on whether it came before the next question
    assert report.failure.startswith(
        (
            "CUBA/usual-loihi: answers must be one line each, got another: b'and more",
            "CUBA/usual-loihi: the answer must be a JSON object on one line, got 'and more'",
        )
    )


def test_a_program_that_is_not_there_is_told():
    report = vectors.check("./nowhere/port --fast", "CUBA", timeout=PATIENCE)
    assert report.failure == "cannot run ./nowhere/port --fast: No such file or directory"
    assert not report.exact


@pytest.mark.parametrize(
    ("command", "timeout", "message"),
    [
        ("", 1.0, "command must not be empty, got ''"),
        ([], 1.0, "command must not be empty, got list"),
        ("'", 1.0, "command .* cannot be split: No closing quotation"),
        ("cat", 0.0, "timeout must be positive, got 0"),
        ("cat", float("nan"), "timeout must be positive, got nan"),
    ],
)
def test_commands_and_timeouts_that_make_no_sense_are_refused(command, timeout, message):
    with pytest.raises(ValueError, match=message):
        vectors.check(command, "CUBA", timeout=timeout)
