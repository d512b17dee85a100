"""The page of a certificate: its plain values as HTML, with nothing that is not in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lavadl_ref.certify import pictures
from lavadl_ref.certify.markup import Content, Markup, element, joined, listing, section, table
from lavadl_ref.certify.request import command
from lavadl_ref.certify.style import STYLE
from lavadl_ref.proof import EXCEEDED, PROVED

Plain = Mapping[str, Any]

#: Nothing is loaded and nothing runs, whatever a text in the page says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
CLASSES = {PROVED: "good", EXCEEDED: "bad"}  #: of verdicts; any other is open


def page(content: Plain) -> str:
    """A whole page.

    Parameters
    ----------
    content : mapping
        Plain values as `lavadl_ref.certify.Certificate.as_dict` gives them.
    """
    name = content["file"]["name"]
    parts = (
        ("file", "File", _file),
        ("parameters", "Parameters", _parameters),
        ("paths", "Paths compared", _paths),
        ("widths", "Widths of the device", _widths),
        ("work", "Events and operations", _work),
        ("example", "Example run", _example),
        ("not-checked", "Not checked", _not_checked),
        ("made", "How it was made", _made),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Certificate of {name}"),
        element("style", Markup(STYLE)),
    )
    links = (element("a", title, href=f"#{key}") for key, title, _ in parts)
    body = element(
        "body",
        element("header", element("h1", f"Certificate of {name}"), *_summary(content)),
        element("nav", listing(links), aria_label="Parts of this page"),
        element("main", *(section(key, title, *make(content)) for key, title, make in parts)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


# -- summary ------------------------------------------------------------------------------------------------------


def _summary(content: Plain) -> Iterator[Markup]:
    yield element("p", "SHA-256 of the network: ", element("code", content["file"]["digest"]))
    paths: dict[str, list[Plain]] = {}
    for entry in content["comparisons"]:
        for path, outcome in entry["paths"].items():
            paths.setdefault(path, []).append(outcome)
    cards = [_path_card(path, outcomes) for path, outcomes in paths.items()]
    skipped = dict.fromkeys(path for entry in content["comparisons"] for path in entry["skipped"] if path not in paths)
    cards += [_card(f"{path} = reference", "not compared", "see Not checked", "open") for path in skipped]
    verdict = content["proof"]["verdict"]
    said = {
        PROVED: "no input of the domain exceeds a width",
        EXCEEDED: "an input was found that exceeds a width",
    }.get(verdict, "a bound lies beyond a width; no input was found that leaves it")
    length = content["proof"]["told"].removeprefix(verdict)
    cards.append(_card("Widths of the device", verdict, f"{said}:{length}", CLASSES.get(verdict, "open")))
    cards.append(_card("Not checked", f"{len(content['not_checked'])} things", "listed near the end", "open"))
    yield element("dl", *cards, class_="cards")


def _path_card(path: str, outcomes: Sequence[Plain]) -> Markup:
    exact = all(outcome["exact"] for outcome in outcomes)
    compared = sum(outcome["compared"] for outcome in outcomes)
    inputs = f"{len(outcomes)} input{'s' if len(outcomes) > 1 else ''}"
    small = f"{compared:,} integers compared on {inputs}"
    return _card(f"{path} = reference", "exact" if exact else "differs", small, "good" if exact else "bad")


def _card(title: str, said: str, small: str, kind: str) -> Markup:
    return element("div", element("dt", title), element("dd", said, element("small", small)), class_=kind)


# -- file and parameters ------------------------------------------------------------------------------------------


def _file(content: Plain) -> Iterator[Markup]:
    held = content["file"]
    shape = "as the first layer takes it" if held["input_shape"] is None else _shape(held["input_shape"])
    yield element("p", f"Input: {shape}. Shapes are (C, H, W) or (N), without time.")
    rows = [
        (
            str(layer["position"]),
            layer["kind"],
            _shape(layer["shape"]),
            layer["family"] or "–",
            ", ".join(layer["options"]) or "–",
            f"{layer['start']:,}",
            layer["becomes"],
        )
        for layer in held["layers"]
    ]
    columns = ("layer", "type", "shape", "family", "options", "starts at step", "on Lava")
    yield table("Layers of the file", columns, rows, right=("layer", "starts at step"))


def _parameters(content: Plain) -> Iterator[Markup]:
    yield element(
        "p",
        "A file holds integers: weights, biases and thresholds in 1/64, decays in 1/4096. Units are these integers "
        "divided. On the chip is what the deployed neurons compute with, on the scale of their states (1/4096 of "
        "spiking neurons); a dash where it depends on the scale of the sums.",
    )
    rows = [
        (
            str(layer["position"]),
            entry["name"].replace("_", " "),
            f"{entry['count']:,}",
            _units(entry["integers"], entry["scale"]),
            _ends(entry["integers"]),
            f"1/{entry['scale']}" if entry["scale"] > 1 else "1",
            "–" if entry["chip"] is None else _ends(entry["chip"]),
        )
        for layer in content["file"]["layers"]
        for entry in layer["parameters"]
    ]
    columns = ("layer", "parameter", "how many", "in units", "integers", "scale", "on the chip")
    right = ("layer", "how many", "in units", "integers", "scale", "on the chip")
    yield table("Parameters, from smallest to largest", columns, rows, right=right)


def _units(ends: Sequence[int], scale: int) -> str:
    low, high = (f"{value / scale:.6g}" for value in ends)
    return low if ends[0] == ends[1] else f"{low} to {high}"


def _ends(ends: Sequence[int | None]) -> str:
    low, high = ("no end" if value is None else f"{value:,}" for value in ends)
    return low if ends[0] == ends[1] is not None else f"{low} to {high}"


def _width(low: int, high: int) -> str:
    """A width in bits where it has all integers of these, else its ends."""
    width = high.bit_length() + 1
    return f"{width} bits" if (low, high) == (-(1 << (width - 1)), (1 << (width - 1)) - 1) else _ends((low, high))


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


# -- comparisons --------------------------------------------------------------------------------------------------


def _paths(content: Plain) -> Iterator[Markup]:
    yield element(
        "p",
        "The reference runs the integers of the file with the widths of the device. Every message of every layer at "
        "every step is compared with it, and every state that Lava ends with. Integers are equal or they differ; "
        "there is no tolerance.",
    )
    for number, entry in enumerate(content["comparisons"], 1):
        yield from _comparison(content, number, entry)


def _comparison(content: Plain, number: int, entry: Plain) -> Iterator[Markup]:
    given = entry["input"]
    yield element("h3", f"Input {number}: {given['told']}")
    ends = _ends((given["smallest"], given["largest"]))
    facts = f"Shape {_shape(given['shape'])}, {given['steps']:,} steps, integers {ends}. SHA-256 of the integers: "
    yield element("p", facts, element("code", given["digest"]))
    names = list(entry["paths"])
    rows = []
    for layer in entry["layers"]:
        told = content["file"]["layers"][layer["position"]]
        cells: list[Content] = [
            str(layer["position"]), told["kind"], _shape(told["shape"]), f"{layer['spikes']:,}"
        ]  # fmt: skip
        cells += [_outcome(layer["paths"].get(name)) for name in names]
        rows.append(cells)
    foot: list[Content] = ["all", "", "", f"{sum(layer['spikes'] for layer in entry['layers']):,}"]
    foot += [_outcome(entry["paths"][name]) for name in names]
    columns = ("layer", "type", "shape", "messages", *(f"{name} = reference" for name in names))
    yield table(f"Comparison of input {number}", columns, rows, ("layer", "messages"), foot=foot)
    for layer in entry["layers"]:
        for name, outcome in layer["paths"].items():
            if outcome["divergence"]:
                yield element("p", f"First divergence of {name}: ")
                yield element("pre", joined(_lines(outcome["divergence"])))
    if entry["exceeded"]:
        yield listing(f"width: {line}" for line in entry["exceeded"])
    yield _again(entry["command"])


def _lines(text: str) -> Iterator[Content]:
    """Lines of a text, whose ends are no characters to be shown as escapes."""
    for index, line in enumerate(text.split("\n")):
        if index:
            yield Markup("\n")
        yield line


def _outcome(outcome: Plain | None) -> Content:
    if outcome is None:
        return "–"
    said = "exact" if outcome["exact"] else "differs"
    kind = "good" if outcome["exact"] else "bad"
    return joined((element("strong", said, class_=kind), f" ({outcome['compared']:,} integers)"))


def _again(command: str) -> Markup:
    return joined((element("p", "This command repeats it:", class_="soft"), element("pre", element("code", command))))


# -- widths -------------------------------------------------------------------------------------------------------


def _widths(content: Plain) -> Iterator[Markup]:
    found = content["proof"]
    verdict = element("strong", found["verdict"], class_=CLASSES.get(found["verdict"], "open"))
    yield element("p", verdict, f"{found['told'].removeprefix(found['verdict'])}.")
    yield element(
        "p",
        "Proved: no input of this domain takes the number out of the range. Open: the bound lies beyond the width, "
        f"and no input of those tried ({found['tried']:,}) left it. Exceeded: an input was found that leaves it.",
    )
    keys = (("width", "width of the device"), ("good", "proved range"), ("open", "open"), ("bad", "exceeded"),
            ("met", "range measured in the audit's run"))  # fmt: skip
    spots = [element("li", element("span", style=f"background:var(--{key})"), told) for key, told in keys]
    yield element("ul", *spots, class_="key", aria_label="Colours of the bars")
    measured = {layer["position"]: layer["head_room"] for layer in content["audit"]["layers"]}
    rows: list[Sequence[Content]] = []
    for layer in found["layers"]:
        met = {room["quantity"]: (room["smallest"], room["largest"]) for room in measured.get(layer["position"], ())}
        rows += [_bound(layer, bound, met.get(bound["quantity"])) for bound in layer["bounds"]]
    columns = (
        "layer",
        "number",
        "verdict",
        "bits, log2 of the magnitude",
        "proved range",
        "measured",
        "width",
        "bits free",
    )
    right = ("layer", "proved range", "measured", "width", "bits free")
    made = table("Numbers of each layer on the widths of the device", columns, rows, right, headers=2)
    ticks = element("span", *(element("span", str(tick)) for tick in range(0, pictures.BITS + 1, 8)), class_="scale")
    yield Markup(made.replace(f">{columns[3]}<", f">{columns[3]}{ticks}<", 1))
    advice = [f"layer {layer['position']}: {line}" for layer in found["layers"] for line in layer["advice"]]
    if advice:
        yield element("h3", "Changes that would make the proof succeed")
        yield element("p", "Each line is a single change, with the earlier layers unchanged.")
        yield listing(advice)
    yield _again(found["command"])


def _bound(layer: Plain, bound: Plain, met: tuple[int, int] | None) -> Sequence[Content]:
    verdict = element("strong", bound["verdict"], class_=CLASSES.get(bound["verdict"], "open"))
    witness = bound["witness"]
    where = (
        "" if witness is None else f" at step {witness['step']:,}, neuron ({', '.join(map(str, witness['neuron']))})"
    )
    return (
        str(layer["position"]),
        bound["quantity"],
        joined((verdict, where)),
        pictures.bar(bound, met),
        _ends((bound["smallest"], bound["largest"])),
        "–" if met is None else _ends(met),
        _width(bound["low"], bound["high"]),
        "–" if bound["free"] is None else str(bound["free"]),
    )


# -- work ---------------------------------------------------------------------------------------------------------


def _work(content: Plain) -> Iterator[Markup]:
    found = content["audit"]
    if found["totals"] is None:
        yield element("p", f"Not measured: {found['reference']}")
        return
    yield element("p", f"Means per step over {found['steps']:,} steps of {found['input']}, without resets.")
    rows = []
    if found["outside"] is not None:
        rows.append(("–", "outside", *_figures(found["outside"])))
    for layer in found["layers"]:
        if layer["work"] is not None:
            kind = content["file"]["layers"][layer["position"]]["kind"]
            rows.append((str(layer["position"]), kind, *_figures(layer["work"])))
    columns = ("layer", "type", "neurons", "events", "synaptic operations", "multiplications if dense")
    foot = ("all", "", *_figures(found["totals"]))
    yield table("Events and synaptic operations per step", columns, rows, (columns[0], *columns[2:]), foot=foot)
    ratios = [
        f"{text} than a dense network: {found['totals'][key]:,.2f} times"
        for key, text in (("events_ratio", "fewer events"), ("operations_ratio", "fewer operations"))
        if found["totals"][key] is not None
    ]
    if ratios:
        yield listing(ratios)
    yield _again(found["command"])


def _figures(work: Plain) -> tuple[str, ...]:
    return f"{work['neurons']:,}", f"{work['events']:,.2f}", f"{work['operations']:,.2f}", f"{work['macs']:,}"


# -- example ------------------------------------------------------------------------------------------------------


def _example(content: Plain) -> Iterator[Markup]:
    shown = content["example"]
    steps = shown["shown_steps"]
    part = "" if steps == shown["steps"] else f", the first {steps:,} of {shown['steps']:,} steps"
    yield element("p", f"The reference run on {shown['input']}{part}.")
    if len(shown["layers"]) < shown["of_layers"]:
        yield element("p", f"The first {len(shown['layers'])} of {shown['of_layers']} layers with neurons are shown.")
    for layer in shown["layers"]:
        yield from _shown_layer(content, layer, steps)


def _shown_layer(content: Plain, layer: Plain, steps: int) -> Iterator[Markup]:
    told = content["file"]["layers"][layer["position"]]
    title = f"Layer {layer['position']}, {told['kind']}"
    yield element("h3", title)
    rows = layer["rows"]
    sample = "all" if len(rows) == layer["neurons"] else f"a sample of {len(rows)}, evenly spaced, of"
    said = (
        f"Messages of {sample} {layer['neurons']:,} neurons, steps 0 to {steps - 1}: a row for each neuron, from "
        f"number {rows[0]['neuron']:,} at the top to {rows[-1]['neuron']:,}. In all {layer['messages']:,} messages of "
        "the layer in the run."
    )
    picture = pictures.raster(rows, steps, f"{title}: messages of {len(rows)} neurons over {steps} steps")
    yield element("figure", picture, element("figcaption", said))
    for trace in layer["traces"]:
        low, high = min(trace["values"]), max(trace["values"])
        name = f"{layer['state']} of neuron {trace['neuron']:,}"
        drawn = pictures.trace(trace["values"], f"{title}: {name} over {steps} steps, {low:,} to {high:,}")
        caption = f"{name}: {low:,} to {high:,} in these steps; the thin line is at 0."
        yield element("figure", drawn, element("figcaption", caption))
    if len(layer["traces"]) < layer["neurons"]:
        yield element("p", f"States of the {len(layer['traces'])} neurons that send most are shown.", class_="soft")


# -- the rest -----------------------------------------------------------------------------------------------------


def _not_checked(content: Plain) -> Iterator[Markup]:
    yield listing(content["not_checked"])


def _made(content: Plain) -> Iterator[Markup]:
    made = content["made"]
    rows = [("time", made["time"]), ("seconds", f"{made['seconds']:,.1f}"), ("versions", made["versions"])]
    rows += list(made["machine"].items())
    yield table("Time, versions and machine", ("what", "which"), rows)
    yield element(
        "p",
        "The same as JSON, which comes with this page, can be checked: everything is run again, with the same seeds, "
        "and compared claim by claim.",
    )
    words = ("--check", "report.json", *(word for name in content["settings"]["inputs"] for word in ("--input", name)))
    yield element("pre", element("code", command("certify", content["file"]["name"], words)))
