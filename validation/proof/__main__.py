"""``python -m validation.proof``: random networks under adversarial input, and proofs of real files; and their page."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import lavadl_kernels

from lavadl_ref import exchange, proof
from lavadl_ref.cli.doctor import versions
from validation.conformance import upstream_tests
from validation.proof.soundness import DEEPEST, INPUTS, STEPS, Found, attacked

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 50  #: networks after which a process tells how far it is


def files() -> Iterator[tuple[str, Path]]:
    """Real networks by names: those of the recorded data beside the project, and those that lava-dl carries."""
    for place in (ROOT.parent / "shared" / "data", upstream_tests.INSTALLED):
        if place.is_dir():
            yield from ((str(path.relative_to(place)), path) for path in sorted(place.rglob("*.net")))


def rows(tries: int = proof.TRIES) -> Iterator[list[str]]:
    """A row for each real file and setting: name, neurons, verdict, seconds, and the layers that are not proved."""
    for name, path in files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exchange.LegacyKeyWarning)
            network = exchange.read(path)
        for interval in (None, 32):
            begun = time.perf_counter()
            try:
                found = proof.prove(network, reset_interval=interval, tries=tries)
            except NotImplementedError as error:
                yield [name, "", f"cannot run: {error}", "", ""]
                break
            seconds = time.perf_counter() - begun
            beyond = [
                f"layer {layer.position}, {bound.quantity}: {bound.verdict}"
                for layer in found.layers
                for bound in layer.bounds
                if bound.verdict != proof.PROVED
            ]
            neurons = sum(layer.size for layer in network.layers)
            resets = "no reset" if interval is None else f"a reset every {interval} steps"
            yield [name, f"{neurons:,}", f"{found.verdict}, {resets}", f"{seconds:.1f}", "; ".join(beyond)]


def table(heads: list[str], lines: Iterator[list[str]] | list[list[str]]) -> list[str]:
    """A table in Markdown."""
    made = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return made + [f"| {' | '.join(line)} |" for line in lines]


def page(found: Found, seconds: float, command: str, real: list[list[str]]) -> str:
    """The page of what was found."""
    shares = [
        [family, str(depth) if depth < DEEPEST else f"{depth} or more", f"{share:.2f}", f"{count:,}"]
        for (family, depth), (share, count) in found.tightness().items()
    ]
    text = [
        "# Figures of the proofs",
        "",
        f"Made by `{command}` in {seconds:.0f} s, with {versions().replace(chr(10), ', ')}. "
        "[proof.md](proof.md) explains the proofs.",
        "",
        "## Soundness",
        "",
        f"{found.networks:,} random networks of all families, kinds of layers and options, half of them with "
        f"parameters far beyond those of trained networks, ran on {INPUTS + 1} inputs of {STEPS} steps each, all but "
        f"one of them with extreme values: {found.numbers:,} ranges were compared with the values reached in a run, "
        f"and {len(found.left)} were exceeded.",
        "",
        "## Tightness",
        "",
        "The table gives the share of its bound that a number reached at most, as the median over all numbers of all "
        "layers of a family, by the number of layers with neurons before it. The inputs are not adapted to the "
        "networks; a share is a lower bound of what is possible.",
        "",
        *table(["family", "layers below", "median share", "numbers"], shares),
        "",
        "## Real files",
        "",
        "The proofs are for spikes, or an input layer's gain and offset, and any number of steps.",
        "",
        *table(["file", "neurons", "verdict", "seconds", "not proved"], real),
        "",
    ]
    return "\n".join(text)


def main(arguments: list[str] | None = None, show: Callable[[str], object] = print) -> int:
    """Attack random networks and prove real files; 1 where a number left its range."""
    parser = argparse.ArgumentParser(prog="python -m validation.proof", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=lavadl_kernels.get_num_threads(), help="processes")
    parser.add_argument(
        "--tries", type=int, default=proof.TRIES, help="inputs of a search for a witness, of real files"
    )
    parser.add_argument("--page", type=Path, help="write this page")
    wanted = parser.parse_args(arguments)
    begun = time.perf_counter()
    found = Found()
    chunks = [range(at, min(at + CHUNK, wanted.networks)) for at in range(0, wanted.networks, CHUNK)]
    attacked(range(1))  # kernels are compiled before processes ask for them
    with ProcessPoolExecutor(wanted.jobs) as pool:  # a forked child has one thread
        for done in as_completed([pool.submit(attacked, chunk) for chunk in chunks]):
            found.update(done.result())
            if sys.stderr.isatty():
                print(f"{found.networks} of {wanted.networks} networks", end="\r", file=sys.stderr, flush=True)
    for line in found.left[:20]:
        show(line)
    show(f"{found.networks:,} networks, {found.numbers:,} ranges, {len(found.left)} left")
    for (family, depth), (share, count) in found.tightness().items():
        show(f"{family:<16} {depth} layers below: median share {share:.2f} of {count:,} bounds")
    real = []
    for row in rows(wanted.tries):
        real.append(row)
        show("  ".join(row))
    if wanted.page:
        command = f"python -m validation.proof --networks {wanted.networks} --tries {wanted.tries} --page {wanted.page}"
        wanted.page.write_text(page(found, time.perf_counter() - begun, command, real), encoding="utf-8")
        show(f"wrote {wanted.page}")
    return 1 if found.left else 0


if __name__ == "__main__":
    sys.exit(main())
