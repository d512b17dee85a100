"""The runs that a certificate is of: its arguments, its inputs, and the commands that repeat them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from numpy.typing import ArrayLike, NDArray

from lavadl_ref import proof
from lavadl_ref._arguments import brief, whole
from lavadl_ref._text import printable
from lavadl_ref.certify.contents import array_digest
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Network
from lavadl_ref.proof import Domain
from lavadl_ref.verify.inputs import chosen_input

MOST_RUNS = 64  #: inputs of a certificate, and seeds
#: Steps, and inputs that a search runs: a certificate from elsewhere may ask for no more.
MOST_STEPS, MOST_TRIES = 2**31 - 1, 2**16


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of `lavadl_ref.certify.certify` besides the file and the arrays, as it documents them.

    Every argument is checked. `as_dict` gives plain values, and `of_plain` the request again.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or is out of range.
    """

    domain: Domain
    inputs: tuple[str, ...] = ()  #: names of the arrays that were given
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    slayer: bool = True
    lava: bool = True
    in_process: bool = False
    reset_interval: int | None = None
    reset_offset: int = 0
    proof_steps: int | None = None
    tries: int = proof.TRIES

    def __post_init__(self) -> None:
        if not isinstance(self.domain, Domain):
            raise TypeError(f"domain must be a Domain, got {brief(self.domain)}")
        for name in self.inputs:
            if not isinstance(name, str):
                raise TypeError(f"names of inputs must be texts, got {brief(name)}")
        for name in ("slayer", "lava", "in_process"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {brief(getattr(self, name))}")
        for name, low in (("steps", 1), ("reset_interval", 1), ("reset_offset", 0), ("proof_steps", 1)):
            if getattr(self, name) is not None or name == "reset_offset":
                self._set(name, whole(name, getattr(self, name), low, MOST_STEPS))
        self._set("tries", whole("tries", self.tries, 0, MOST_TRIES))
        self._set("seeds", tuple(whole("seed", seed, 0, 2**63 - 1) for seed in self.seeds))
        if not (self.inputs or self.seeds) or max(len(self.inputs), len(self.seeds)) > MOST_RUNS:
            raise ValueError(
                f"inputs and seeds must be at least one together and at most {MOST_RUNS} each, "
                f"got {len(self.inputs)} and {len(self.seeds)}"
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # as an int of Python, which JSON takes

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        domain = {"kind": self.domain.kind, "low": int(self.domain.low), "high": int(self.domain.high)}
        return {**asdict(self), "domain": domain, "inputs": list(self.inputs), "seeds": list(self.seeds)}

    @classmethod
    def of_plain(cls, settings: Any) -> Request:
        """The request of plain values that nobody vouches for.

        Parameters
        ----------
        settings : object
            As `json.loads` gives it.

        Raises
        ------
        TypeError, ValueError
            If they are not what `as_dict` gives; one line.
        """
        found = dict(_object("settings", settings, [field.name for field in fields(cls)]))
        domain = _object("domain", found["domain"], ("kind", "low", "high"))
        if not isinstance(domain["kind"], str):
            raise TypeError(f"kind of a domain must be a text, got {brief(domain['kind'])}")
        for name in ("inputs", "seeds"):
            if not isinstance(found[name], list) or len(found[name]) > MOST_RUNS:
                raise TypeError(f"{name} must be a list of at most {MOST_RUNS}, got {brief(found[name])}")
            found[name] = tuple(found[name])
        return cls(**{**found, "domain": Domain(**domain)})

    def verify_words(self, chosen: Chosen) -> list[str]:
        """Options of the command that repeats a comparison."""
        words = chosen.words()
        words += [] if self.slayer else ["--no-slayer"]
        words += [] if self.lava else ["--no-lava"]
        words += ["--in-process"] if self.in_process else []
        return words + self._reset_words()

    def prove_words(self) -> list[str]:
        """Options of the command that repeats the proof."""
        domain = self.domain
        words = ["--input", domain.kind]
        words += [] if domain.kind == "binary" else [str(domain.low), str(domain.high)]
        words += [] if self.proof_steps is None else ["--steps", str(self.proof_steps)]
        words += [] if self.tries == proof.TRIES else ["--tries", str(self.tries)]
        return words + self._reset_words()

    def _reset_words(self) -> list[str]:
        if self.reset_interval is None:
            return []
        return ["--reset-interval", str(self.reset_interval), "--reset-offset", str(self.reset_offset)]

    def chosen(self, network: Network, given: Mapping[str, ArrayLike], megabytes: float) -> Iterator[Chosen]:
        """All inputs that are run: those given in their order, then the random ones.

        Parameters
        ----------
        network : Network
            What receives them.
        given : mapping of str to array_like of int
            (\\*shape, T) of each of `inputs`.
        megabytes : float
            Memory that a run may take.

        Raises
        ------
        TypeError, ValueError
            As `lavadl_ref.verify.inputs.chosen_input`.
        """
        deployed = reference.Network(network)
        for name, seed in (*((name, None) for name in self.inputs), *((None, seed) for seed in self.seeds)):
            values = None if name is None else given[name]
            x, told = chosen_input(deployed, values, self.steps, seed, None, megabytes, self.lava, wide=True)
            yield Chosen(x, told if name is None else printable(name), name, seed)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Chosen:
    """One input that is run."""

    x: NDArray[Any]  #: (\\*shape, T)
    told: str  #: what it is
    name: str | None  #: of an array that was given
    seed: int | None  #: of a random one

    def words(self) -> list[str]:
        """Options of a command that takes it."""
        words = [] if self.name is None else ["--input", self.name]
        words += ["--steps", str(self.x.shape[-1])]
        return words if self.seed is None else [*words, "--seed", str(self.seed)]

    def as_dict(self) -> dict[str, Any]:
        """All that is known of it but its integers."""
        return {
            "told": self.told,
            "name": self.name,
            "seed": self.seed,
            "shape": list(self.x.shape[:-1]),
            "steps": int(self.x.shape[-1]),
            "smallest": int(self.x.min()),
            "largest": int(self.x.max()),
            "digest": array_digest(self.x),
        }


def command(verb: str, name: str, words: Sequence[str]) -> str:
    """A line for a shell.

    Parameters
    ----------
    verb : str
        Of ``lavadl-ref``.
    name : str
        Of the file.
    words : sequence of str
        What follows.
    """
    # a name that begins with a hyphen would be an option
    given = name if not name.startswith("-") else f"./{name}"
    return shlex.join(["lavadl-ref", verb, given, *words])


def _object(name: str, value: Any, keys: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(keys):
        got = brief(", ".join(map(str, value))) if isinstance(value, Mapping) else brief(value)
        raise ValueError(f"{name} must be an object with {', '.join(keys)}, got {got}")
    return value
