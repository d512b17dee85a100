"""The page of a certificate: it stands alone, says what the JSON says, and a browser shows it without an error."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lavadl_ref.certify import Certificate, certify
from lavadl_ref.certify.markup import Markup, element, table
from lavadl_ref.certify.pictures import BITS, bits
from lavadl_ref.exchange import Conv, Dense, Flatten, Network, Neuron
from tests.support.browser import browse, needs_chromium

CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
STILL = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 0, "threshold": 2**18 - 1})
HOSTILE = "</title><script>alert(1)</script><img src=\"http://x.invalid/a.png\" onerror='a'>&\x1b\n--> é.net"
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Elements of a page, its text, and tags that are not closed in their order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.elements, self.tables, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if "title" in self.open:
            return
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        elif "td" in self.open or "th" in self.open:
            self.tables[-1]["rows"][-1][-1] += data

    def table(self, caption):
        return next(found["rows"] for found in self.tables if found["caption"].startswith(caption))


@pytest.fixture(scope="module")
def certificate():
    rng = np.random.default_rng(0)
    conv = Conv(shape=(2, 3, 3), neuron=CUBA, weight=2 * rng.integers(-9, 30, (2, 1, 2, 2)))
    network = Network((
        conv,
        Flatten(shape=(18,)),
        Dense(shape=(3,), neuron=STILL, weight=2 * rng.integers(-20, 50, (3, 18))),
    ))  # fmt: skip
    return certify(network, steps=10, lava=False, name=HOSTILE, seeds=(2,))


@pytest.fixture(scope="module")
def page(certificate):
    return Page(certificate.html())


def test_tags_are_balanced_and_the_page_stands_alone(certificate, page):
    assert page.wrong == []
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "srcset", "href", "action", "data", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\(|@import|expression\(", certificate.html())
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"}
    assert links <= targets
    assert len(links) == 8


def test_a_hostile_name_is_text_and_nothing_else(certificate, page):
    assert "<script" not in certificate.html()
    assert "Certificate of </title><script>alert(1)</script>" in "".join(page.text)
    assert "\x1b" not in certificate.html()
    ((command,),) = [[line] for line in page.text if line.startswith("lavadl-ref prove")]
    assert command.startswith("lavadl-ref prove '</title>")


def test_names_in_a_report_are_escaped_wherever_they_stand(certificate):
    def marked(value):
        if isinstance(value, dict):
            return {key: marked(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [marked(entry) for entry in value]
        return f'{value}<i b="' if isinstance(value, str) else value

    found = Page(Certificate(marked(certificate.as_dict())).html())
    assert found.wrong == []
    assert "i" not in {tag for tag, _ in found.elements}


def test_the_page_says_the_numbers_of_the_json(certificate, page):
    content = certificate.content
    ((entry),) = content["comparisons"]
    rows = page.table("Comparison of input 1")
    for row, layer in zip(rows[1:-1], entry["layers"], strict=True):
        assert (row[0], row[3]) == (str(layer["position"]), f"{layer['spikes']:,}")
        outcome = layer["paths"].get("slayer")
        assert row[4] == ("–" if outcome is None else f"exact ({outcome['compared']:,} integers)")
    assert rows[-1][4] == f"exact ({certificate.compared:,} integers)"
    bounds = [(layer["position"], bound) for layer in content["proof"]["layers"] for bound in layer["bounds"]]
    for row, (position, bound) in zip(page.table("Numbers of each layer")[1:], bounds, strict=True):
        assert row[:2] == [str(position), bound["quantity"]]
        assert row[2].startswith(bound["verdict"])
        ends = ["no end" if end is None else f"{end:,}" for end in (bound["smallest"], bound["largest"])]
        assert row[4] in (" to ".join(ends), ends[0])
        if row[6].endswith(" bits"):
            half = 2 ** (int(row[6].split()[0]) - 1)
            assert (bound["low"], bound["high"]) == (-half, half - 1)
        else:
            assert row[6] == f"{bound['low']:,} to {bound['high']:,}"
    totals = content["audit"]["totals"]
    assert page.table("Events and synaptic operations")[-1][2:] == [
        f"{totals['neurons']:,}", f"{totals['events']:,.2f}", f"{totals['operations']:,.2f}", f"{totals['macs']:,}"
    ]  # fmt: skip
    parameters = [entry for layer in content["file"]["layers"] for entry in layer["parameters"]]
    assert len(page.table("Parameters")) == 1 + len(parameters)
    text = "".join(page.text)
    for line in content["not_checked"]:
        assert line in text
    assert content["file"]["digest"] in text
    for layer in content["proof"]["layers"]:
        assert all(line in text for line in layer["advice"])


def test_an_excess_is_shown_with_its_witness(certificate, page):
    assert certificate.verdict == "exceeded"  # a state without decay and a threshold out of reach
    rows = page.table("Numbers of each layer")
    assert any(re.match(r"exceeded at step [\d,]+, neuron \(\d+\)", row[2]) for row in rows[1:])


def test_headings_captions_and_pictures_are_named(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(found["caption"] for found in page.tables)
    headers = [attributes for tag, attributes in page.elements if tag == "th"]
    assert {attributes["scope"] for attributes in headers} == {"row", "col"}
    pictures = [index for index, (tag, _) in enumerate(page.elements) if tag == "svg"]
    assert len(pictures) > 8
    for index in pictures:
        assert page.elements[index][1]["role"] == "img"
        assert page.elements[index + 1][0] == "title"


def test_bars_are_as_long_as_the_magnitude_in_bits():
    assert (bits(0, 0), bits(-1, 0), bits(-8, 7)) == (0, 1, pytest.approx(np.log2(9)))
    assert bits(None, 5) == bits(2**80) == BITS


def test_an_element_escapes_text_and_keeps_markup():
    assert element("p", "a<b", Markup("<br>"), class_='"') == '<p class="&quot;">a&lt;b<br></p>'
    assert "&lt;th&gt;" in table("<c>", ("<th>",), [("<td>",)])


@needs_chromium
@pytest.mark.parametrize(
    ("option", "more"),
    [
        ("--screenshot=out.png", ("--window-size=1000,1400",)),
        ("--screenshot=out.png", ("--window-size=1000,1400", "--blink-settings=preferredColorScheme=0")),
        ("--screenshot=out.png", ("--window-size=390,844",)),
        ("--print-to-pdf=out.pdf", ()),
    ],
    ids=["light", "dark", "phone", "print"],
)
def test_a_browser_shows_the_page_without_an_error(certificate, tmp_path, option, more):
    (tmp_path / "page.html").write_text(certificate.html(), encoding="utf-8")
    console, made = browse(tmp_path / "page.html", tmp_path, option, *more)
    assert console == ""
    assert made.startswith((b"\x89PNG", b"%PDF"))
    assert len(made) > 5000
