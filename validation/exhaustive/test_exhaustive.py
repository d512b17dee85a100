"""Slices of the parts of `validation.exhaustive`, the mutations that each part notices, and the command around them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading

import lavadl_kernels
import numpy as np
import pytest
import torch
from lavadl_kernels import fixed_point as fp
from lavadl_kernels.ops import delay as delay_kernels

from tests.support import PATIENCE
from validation.exhaustive import __main__ as command
from validation.exhaustive import page, record, run
from validation.exhaustive.checks import PARTS, ROOT, Checked, Part, delays, part, products, quantisers, sums, widths

PAGE = ROOT / "docs" / "exhaustive.md"

# -- slices ---------------------------------------------------------------------------------------


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", PARTS)
def test_a_slice_of_every_part_is_equal(name):
    said = []
    assert command.main(["--slice", "2", "--part", name], said.append) == 0
    (line,) = said
    assert line.startswith(f"{name}: ")
    assert line.endswith(f"results are equal in 2 of {PARTS[name].blocks} blocks")
    assert int(line.split()[1].replace(",", "")) > 10_000


def test_blocks_reach_the_ends_of_the_domains():
    assert (products._LEAK_TILES[0], products._LEAK_TILES[-1] - 1) == (-(2**22), 2**22)
    assert (products._PRODUCT_TILES[0], products._PRODUCT_TILES[-1] - 1) == (1 - 2**24, 2**24 - 1)
    assert quantisers.BLOCKS * quantisers.BLOCK == widths.OF_32_BITS * widths.BLOCK == 2**32
    last = quantisers.numbers(2**32 - 1, 1)
    assert last.view(np.uint32)[0] == 2**32 - 1
    assert delays.LENGTHS > 2 * delays.MOST + 1
    assert sums.ROWS * sums.PAIRS == PARTS["sums"].blocks == 256


@pytest.mark.timeout(PATIENCE)
def test_rotations_are_equal_where_the_rounding_cannot_be_set(tmp_path):
    """The path of other processors: the kernels are imported as on one, and compiled anew."""
    code = (
        "import platform, sys\n"
        "there, platform.machine = platform.machine, lambda: 'aarch64'\n"
        "from lavadl_kernels.runtime import rounding\n"
        "platform.machine = there\n"
        "from validation.exhaustive import __main__ as command, record\n"
        "print(record.setting()['processor'])\n"
        "sys.exit(command.main(['--slice', '3', '--part', 'rotations']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    processor, *lines = done.stdout.splitlines()
    assert processor.endswith("float32 products in two parts"), done.stderr
    assert (done.returncode, len(lines)) == (0, 1), done.stdout
    assert lines[0].startswith("rotations: ")


# -- mutations ------------------------------------------------------------------------------------


def leak_downwards(state, decay, out):
    out[:] = np.floor(state.astype(np.float64) * (4096 - float(decay)) / 4096)


def leak_rounded_to_nearest(state, decay, out):
    out[:] = np.trunc(state * ((np.float32(4096) - decay) * np.float32(1 / 4096)))


def leak_in_parts_of_two_signs(state, decay, out):
    fraction = 4096 - decay
    high = np.floor(state / 4096)
    out[:] = high * fraction + np.trunc((state - high * 4096) * (fraction / 4096))


def product_of_magnitudes(state, fraction, out):
    out[:] = np.abs(state.astype(np.int64)) * int(fraction) // 4096


def rotation_cut_once(re, im, a_re, a_im, sin, cos, loihi, out_re, out_im):
    re, im, sin, cos = (np.asarray(part, np.float64) for part in (re, im, sin, cos))
    most = (1 << 23) - 1 if loihi else np.inf
    out_re[:] = np.clip(np.trunc((re * cos - im * sin) / 4096) + a_re, -most, most)
    out_im[:] = np.clip(np.trunc((re * sin + im * cos) / 4096) + a_im, -most, most)


def rotation_without_widths(re, im, a_re, a_im, sin, cos, loihi, out_re, out_im):
    products.rotate_in_steps(re, im, a_re, a_im, sin, cos, False, out_re, out_im)


def quantised(nearest=np.rint, low=-128, high=127):
    """A quantiser of weights, in float64."""

    def way(x):
        y = nearest(x.astype(np.float64) * 32)
        inside = bool(((y >= low) & (y <= high)).all())
        return (np.where(y < low, low, np.where(y > high, high, y)) / 32).astype(np.float32), inside

    return way


def quantised_without_nan(x):
    y, inside = quantised()(x)
    return np.nan_to_num(y, nan=0.0), inside


def quantised_without_sign_of_zero(x):
    y, inside = quantised()(x)
    return y + np.float32(0), inside


def quantised_and_called_inside(x):
    return quantised()(x)[0], True


def multiples_without_infinity(x):
    return np.rint(x.astype(np.float64)).astype(np.float32), None


def multiples_cut(x):
    return (np.trunc(x.astype(np.float64) * 64) / 64).astype(np.float32), None


def bytes_up_to_128(x, out, beyond):
    many = x * np.float32(32)
    good = (many >= -128) & (many <= 128) & (np.trunc(many) == many)
    out[:] = np.where(good, many, 0).astype(np.int64) + 128
    beyond[:] = ~good


def widths_with(name, mutant):
    """The four widths, one of which is another function."""

    def way(x, out):
        widths.widths_of(x, out)
        out[list(widths.FUNCTIONS).index(name)] = mutant(x)

    return way


def wrapped_within_the_other_end(x, bits, out):
    widths.wrapped(x, bits, out)
    out[out == -(1 << (bits - 1))] = 1 << (bits - 1)


def delayed_by_one_less_at_the_end(x, delay):
    y = delay_kernels.forward(x, delay)
    if len(y) == 64:
        y[-1, delay == 63] = 0
    return y


def kept_as_it_came(x, delay):
    return np.concatenate([delay_kernels.forward(x, delay), x])


def gradients_of_the_wrong_sign(x, delay):
    to_x, to_delay = delay_kernels.backward(x, x, delay)
    return to_x, -to_delay


def sums_of_signed_pairs(table, index, first, last, fresh, scale, out):
    sums.sum_windows(table, index, first, last, fresh, scale, out)
    # the biased sum of 256 of the largest byte, 65,280, as a signed number of 16 bits
    whole = out == 127 * 256
    out[whole] -= 1 << 16


def sums_without_the_last_weight(x, weight):
    return x[:, :-1] @ weight[:, :-1].T


def products_in_eight_bits(messages, weight):
    return (messages @ weight.T).astype(np.int8)


def two_sided(x):
    return (x + 2**23) % 2**24 - 2**23


def clipped_to_the_least(x):
    return np.clip(x, -(2**23), 2**23 - 1)


def nothing(*arguments):
    """Leave the results unwritten."""


LEAKS, SCALES, ROTATIONS = products.LEAKS, products.SCALES, products.ROTATIONS
PATHS, WIDTHS, STATES = quantisers.PATHS, widths.WIDTHS, widths.WIDTHS_OF_STATES
#: For each mutation: the part, a block, the table of paths, and what one of these paths does instead.
MUTATIONS = {
    "a leak rounded down": ("leaks", 0, LEAKS, "int64", leak_downwards),
    "a leak rounded to the nearest": ("leaks", 127, LEAKS, "float32 as steps take it", leak_rounded_to_nearest),
    "a leak in parts of two signs": ("leaks", 63, LEAKS, "float32 in two parts", leak_in_parts_of_two_signs),
    "an unwritten leak": ("leaks", 64, LEAKS, "float32 in two parts", nothing),
    "a leak of training": ("leaks", 1, products.TRAINED_LEAKS, "a step of CUBA", leak_downwards),
    "no leak in Python": ("leaks", 0, products.PYTHON_LEAKS, "Python, int", products.in_python(lambda v, d: v)),
    "a product without its sign": ("products", 0, SCALES, "float32 in two parts", product_of_magnitudes),
    "a rotation cut once": ("rotations", 4097, ROTATIONS, "float64", rotation_cut_once),
    "an unwritten rotation": ("rotations", 0, ROTATIONS, "float32 as steps take it", nothing),
    "a rotation without widths": ("rotations", 8191, ROTATIONS, "int64", rotation_without_widths),
    "ties upwards": ("quantisers", 250, PATHS, "quantize_within on torch", quantised(lambda x: np.floor(x + 0.5))),
    "a bound of 128": ("quantisers", 258, PATHS, "ops.weights.quantised", quantised(high=128)),
    "a bound of -127": ("quantisers", 769, PATHS, "quantize_within on the kernel", quantised(low=-127)),
    "NaN as 0": ("quantisers", 510, PATHS, "ops.layout.quantised_frames", quantised_without_nan),
    "-0 as 0": ("quantisers", 512, PATHS, "ops.weights.quantised", quantised_without_sign_of_zero),
    "all within": ("quantisers", 770, PATHS, "ops.weights.quantised", quantised_and_called_inside),
    "no infinity": ("quantisers", 509, PATHS, "quantize to 1/64", multiples_without_infinity),
    "cut instead of down": ("quantisers", 600, PATHS, "quantize down to 1/64", multiples_cut),
    "a byte of 128": ("bytes", 258, quantisers.BYTES, "simd.mantissas", bytes_up_to_128),
    "an unwritten byte": ("bytes", 258, quantisers.BYTES, "simd.mantissas", nothing),
    "unwritten widths": ("widths", 512, WIDTHS, "float64", nothing),
    "an unwritten wrap": ("widths", 512, widths.WRAPS, "wrap, NumPy", nothing),
    "wrap24 of two sides": ("widths", 514, WIDTHS, "int64", widths_with("wrap24", two_sided)),
    "wrap24 of states": ("widths", 1030, STATES, "float32", widths_with("wrap24", two_sided)),
    "wrap32 of nothing": ("widths", 1032, WIDTHS, "float64", widths_with("wrap32", np.copy)),
    "saturation at -2^23": ("widths", 509, WIDTHS, "float64", widths_with("saturate24", clipped_to_the_least)),
    "a clip that wraps": ("widths", 1032, widths.FUNCTIONS, "clip24", fp.saturate24),
    "a wrap to the other end": ("widths", 510, widths.WRAPS, "wrap, int64", wrapped_within_the_other_end),
    "a late end": ("delays", 64, delays.FORWARD, "forward", delayed_by_one_less_at_the_end),
    "a signal kept too early": ("delays", 3, delays.KEPT, "forward_kept", kept_as_it_came),
    "a gradient of the wrong sign": ("delays", 2, delays.BACKWARD, "backward", gradients_of_the_wrong_sign),
    "an unwritten sum": ("sums", 129, sums.WINDOWS, "simd.add_rows", nothing),
    "pairs with a sign": ("sums", 255, sums.WINDOWS, "simd.add_rows", sums_of_signed_pairs),
    "a lost weight": ("sums", 7, sums.WHOLE, "ops.events", sums_without_the_last_weight),
    "a narrow product": ("sums", 200, sums.PRODUCTS, "ops.integer_synapse.dense, graded", products_in_eight_bits),
}


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_told_with_what_it_was_computed_from(name, monkeypatch):
    of, block, table, path, mutant = MUTATIONS[name]
    entry = table[path]
    monkeypatch.setitem(table, path, (entry[0], mutant) if isinstance(entry, tuple) else mutant)
    with np.errstate(all="ignore"):
        checked = PARTS[of].check(block)
    assert path in checked.difference
    assert "must be" in checked.difference


def test_every_part_has_mutations():
    assert {of for of, *_ in MUTATIONS.values()} == set(PARTS)


def test_the_first_difference_is_told_with_its_input(monkeypatch):
    monkeypatch.setitem(WIDTHS, "int64", (np.int64, widths_with("wrap24", two_sided)))
    checked = PARTS["widths"].check(514)
    assert checked.difference == "wrap24, int64: 8388608 gives -8388608, must be 8388608"
    assert checked.compared == widths.TILE + 1


@pytest.mark.parametrize(
    ("got", "wanted", "at"),
    [
        ([1.0, 2.0], [1.0, 2.0], -1),
        ([1.0, np.nan], [1.0, np.nan], -1),
        ([1.0, np.nan], [1.0, 2.0], 1),
        ([0.0, 1.0], [-0.0, 1.0], 0),
        ([1.0] * 3000, [1.0] * 2999 + [1.0000001], 2999),
    ],
)
def test_float32_differ_by_their_bits(got, wanted, at):
    assert part.first_other_float32(np.array(got, np.float32), np.array(wanted, np.float32)) == at


def test_integers_differ_by_one():
    assert part.first_difference(np.array([1, 2**53 + 1]), np.array([1, 2**53])) == 1
    assert part.first_difference(np.arange(5000), np.arange(5000)) == -1


# -- the command ----------------------------------------------------------------------------------


class Counted:
    """A part of ten blocks that remembers which were checked, and may fail at one of them."""

    def __init__(self):
        self.checked, self.failing = [], {}
        self.act = lambda block: Checked(100)
        self.part = Part("counted", "Counted", "ten blocks", "nothing", "none", 10, self.check)

    def check(self, block):
        self.checked.append(block)
        if block in self.failing:
            raise self.failing[block]
        return self.act(block)


@pytest.fixture
def counted(monkeypatch):
    made = Counted()
    monkeypatch.setattr(command, "PARTS", {"counted": made.part})
    monkeypatch.setattr(page, "PARTS", {"counted": made.part})
    return made


def ran(folder, *options):
    said = []
    return command.main(["--out", str(folder), "--threads", "1", *options], said.append), said


def test_a_run_goes_on_where_it_was_interrupted(counted, tmp_path):
    counted.failing = {6: KeyboardInterrupt()}
    assert ran(tmp_path) == (130, ["interrupted: the same command goes on from here"])
    assert counted.checked == list(range(7))
    counted.checked, counted.failing = [], {}
    status, said = ran(tmp_path)
    assert (status, said[0]) == (0, "counted: goes on, 6 of 10 blocks are done")
    assert said[1].startswith("counted: finished: 1,000 results are equal, ")
    assert counted.checked == [6, 7, 8, 9]
    status, said = ran(tmp_path)
    assert status == 0
    assert said[0].startswith("counted: already finished, on 20")
    assert counted.checked == [6, 7, 8, 9]


def test_a_part_that_was_checked_under_other_versions_begins_anew(counted, tmp_path):
    assert ran(tmp_path)[0] == 0
    file = tmp_path / record.FILE
    content = json.loads(file.read_text())
    content["counted"]["setting"]["numba"] = "0.0"
    file.write_text(json.dumps(content))
    assert ran(tmp_path, "--list") == (0, ["counted     Counted: ten blocks"])
    counted.checked = []
    status, said = ran(tmp_path)
    assert (status, said[0]) == (0, "counted: begins anew, for another numba")
    assert counted.checked == list(range(10))
    assert json.loads(file.read_text())["counted"]["compared"] == 1000


def test_a_difference_ends_the_run_and_is_found_again(counted, tmp_path):
    counted.act = lambda block: Checked(3, "x gives 1, must be 2" if block == 4 else "")
    for _ in range(2):
        status, said = ran(tmp_path)
        assert (status, said[-1]) == (1, "DIFFERENT: counted, block 4: x gives 1, must be 2")
    assert counted.checked == [0, 1, 2, 3, 4, 4]
    assert ran(tmp_path, "--list")[1] == ["counted     Counted: ten blocks (10 blocks; 4 blocks are done)"]
    assert ran(tmp_path, "--slice", "10")[0] == 1


def test_the_first_of_several_blocks_that_differ_is_told(counted):
    slow = threading.Event()

    def act(block):
        if block == 2:
            assert slow.wait(PATIENCE)
        elif block == 3:
            slow.set()
        return Checked(1, f"{block} is wrong" if block in (2, 3) else "")

    counted.act = act
    done = []
    with pytest.raises(run.Difference, match="counted, block 2: 2 is wrong"):
        run.check(counted.part, range(10), 2, lambda block, checked: done.append(block))
    assert sorted(done) == [0, 1]


def test_blocks_of_a_slice_reach_from_end_to_end(counted):
    assert run.sliced(counted.part, 1) == [9]
    assert run.sliced(counted.part, 4) == [0, 3, 6, 9]
    assert run.sliced(counted.part, 50) == list(range(10))


def test_threads_of_kernels_and_torch_are_as_before_a_check(counted):
    threads = lambda: (lavadl_kernels.get_num_threads(), torch.get_num_threads())  # noqa: E731
    before, seen = threads(), []

    def act(block):
        seen.append(threads())
        return Checked(1)

    counted.act = act
    run.check(counted.part, [0, 1], 1, lambda block, checked: None)
    assert seen == [(1, 1)] * 2
    assert threads() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slice", "0"], "--slice must be at least 1, got 0"),
        (["--threads", "-1"], "--threads must be at least 1, got -1"),
        (["--part", "nothing"], "invalid choice: 'nothing'"),
        (["--slice", "1", "--page", "x.md"], "--page must be of all blocks, got --slice too"),
        (["--out", __file__], "--out must be a folder for the record, got the file"),
    ],
)
def test_a_bad_argument_of_the_command_is_refused(options, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(options)
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("text", ["{", "[]", '{"leaks": {}}', '{"leaks": {"setting": 1, "blocks": 2}}'])
def test_a_damaged_record_is_refused(text, tmp_path, capsys):
    (tmp_path / record.FILE).write_text(text)
    with pytest.raises(SystemExit, match="2"):
        command.main(["--out", str(tmp_path)])
    assert "must be a record of this program, got" in " ".join(capsys.readouterr().err.split())


def test_a_record_that_cannot_be_kept_is_told(counted, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(record.atomic, "write_bytes", full)
    status, said = ran(tmp_path)
    assert status == 2
    assert said[-1].startswith("the record cannot be kept: ")
    assert "No space left on device" in said[-1]
    assert counted.checked == []


# -- the page -------------------------------------------------------------------------------------


def test_the_page_is_written_of_finished_parts_alone(counted, tmp_path):
    path = tmp_path / "page.md"
    counted.failing = {6: KeyboardInterrupt()}
    assert ran(tmp_path, "--page", str(path))[0] == 130
    assert not path.exists()
    counted.failing = {}
    status, said = ran(tmp_path, "--page", str(path))
    assert (status, said[-1]) == (0, f"wrote {path}")
    text = path.read_text()
    assert "On this page all\n1,000 results were equal." in text
    assert "| [Counted](#counted) | 1,000 | 0 | 1 | 20" in text
    status, said = ran(tmp_path, "--page", str(tmp_path / "missing" / "page.md"))
    assert (status, said[-1].partition(" is not written: ")[2]) == (2, "No such file or directory")


def test_the_page_needs_all_parts(counted, tmp_path, monkeypatch):
    other = Part("other", "Other", "one block", "nothing", "none", 1, lambda block: Checked(1))
    monkeypatch.setattr(command, "PARTS", {"counted": counted.part, "other": other})
    path = tmp_path / "page.md"
    status, said = ran(tmp_path, "--part", "counted", "--page", str(path))
    assert (status, said[-1]) == (2, f"{path} is not written: other must be finished")
    assert not path.exists()


def test_the_page_of_the_docs_has_all_results_of_every_part():
    text = PAGE.read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| \[(.+?)\]\(#[\w-]+\) \| ([\d,]+) \|", text, re.MULTILINE))
    assert list(found) == [of.title for of in PARTS.values()]
    for of in PARTS.values():
        assert f"- Domain: {of.domain}.\n- What runs: {of.paths}.\n- Formula: {of.formula}.\n" in text
    counts = {name: int(found[of.title].replace(",", "")) for name, of in PARTS.items()}
    covered, tiles = len(products.COVERED), np.diff(products._LEAK_TILES)
    # of each tile with some decays: a step of CUBA, and 5 states twice in Python
    slower = sum(len(range(tile % products.SOME, 4097, products.SOME)) * (size + 10) for tile, size in enumerate(tiles))
    assert counts["leaks"] == (2**23 + 1) * 4097 * len(LEAKS) + slower
    assert counts["products"] == (2**25 - 1) * 8193 * len(SCALES)
    # both parts, with widths and without
    assert counts["rotations"] == 8193**2 * covered * len(ROTATIONS) * 4
    # and those at the bounds each by itself
    assert 0 < counts["quantisers"] - 2**32 * len(PATHS) < 1000
    assert counts["bytes"] == 2**32 * 2
    four = len(widths.FUNCTIONS)
    narrow = 2**32 * (four * len(WIDTHS) + len(widths.WRAPPED) * len(widths.WRAPS)) + (2**25 + 1) * four
    assert 0 < counts["widths"] - narrow < 10**8
    assert counts["delays"] > delays.LENGTHS * 64**2
    windows = 2 * (sums.MANY + 1) * sums.ROWS * 64 * 2
    assert counts["sums"] == 256 * (windows + 256 * sums.OUTPUTS * len(sums.WHOLE) + 256)
