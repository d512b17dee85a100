"""The style sheet of a certificate's page: light and dark, on a phone and on paper."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1d2226; --soft: #59636b; --rule: #d5dadd; --panel: #f1f3f2; --link: #0b5a8f;
  --good: #1f7a4d; --open: #a86400; --bad: #b3261e; --width: #dfe4e6; --met: #12202a; --mark: #1b4f72;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181b; --ink: #e4e8ea; --soft: #9eaab2; --rule: #353d43; --panel: #1d2327; --link: #7cc0ee;
    --good: #58c08a; --open: #e2a648; --bad: #f2857c; --width: #313a40; --met: #f4f7f8; --mark: #8ec6ea;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .5rem; border-top: 2px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; }
p, ul, dl { margin: .5rem 0 .9rem; max-width: 46rem; }
li { margin: .25rem 0; overflow-wrap: anywhere; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none; }
.soft, caption, figcaption { color: var(--soft); }
code, pre { font: .875em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { margin: .4rem 0 1rem; padding: .55rem .75rem; background: var(--panel); border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
dl.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: .75rem;
  max-width: none; }
dl.cards div { background: var(--panel); border-left: .3rem solid var(--rule); border-radius: 3px;
  padding: .6rem .8rem; }
dl.cards dt { color: var(--soft); font-size: .875rem; }
dl.cards dd { margin: 0; font-size: 1.15rem; font-weight: 600; }
dl.cards dd small { display: block; font-size: .8125rem; font-weight: 400; color: var(--soft); }
dl.cards div.good { border-color: var(--good); }
dl.cards div.open { border-color: var(--open); }
dl.cards div.bad { border-color: var(--bad); }
.good { color: var(--good); } .open { color: var(--open); } .bad { color: var(--bad); }
dl.cards div { color: inherit; }
.wide { overflow-x: auto; margin: .6rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; min-width: 100%; }
caption { text-align: left; padding: 0 0 .35rem; caption-side: top; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; vertical-align: bottom; }
tbody th { font-weight: 600; }
tfoot th, tfoot td { border-bottom: 0; font-weight: 600; }
.number { text-align: right; }
td.number:last-child, th.number:last-child { padding-right: 0; }
svg { display: block; width: 100%; overflow: hidden; }
svg path { fill: none; vector-effect: non-scaling-stroke; }
svg.bar { min-width: 11rem; margin-top: .2rem; }
.scale { display: flex; justify-content: space-between; min-width: 11rem; font-weight: 400; }
rect.width { fill: var(--width); } rect.met { fill: var(--met); }
rect.proved { fill: var(--good); } rect.open { fill: var(--open); } rect.exceeded { fill: var(--bad); }
path.edge { stroke: var(--ink); stroke-width: 2px; }
path.grid { stroke: var(--rule); stroke-width: .5px; } path.zero { stroke: var(--soft); stroke-width: .75px; }
path.mark { stroke: var(--mark); stroke-width: 2px; } path.trace { stroke: var(--mark); stroke-width: 1.25px; }
svg.raster, svg.state { background: var(--panel); border: 1px solid var(--rule); }
td:empty::before { content: none !important; }
figure { margin: .8rem 0 1.2rem; }
figcaption { font-size: .875rem; margin-top: .3rem; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; font-size: .875rem; }
.key span { display: inline-block; width: 1.4rem; height: .7rem; margin-right: .4rem; vertical-align: baseline; }
@media screen and (max-width: 42rem) {
  .stack, .stack caption, .stack tbody, .stack tfoot { display: block; }
  .stack thead { display: none; }
  .stack tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.3rem, 1fr)); gap: .15rem .7rem;
    padding: .5rem 0; border-bottom: 1px solid var(--rule); }
  .stack th, .stack td { display: block; border: 0; padding: 0; text-align: left; white-space: normal; }
  .stack th::before, .stack td::before { display: block; content: attr(data-label); color: var(--soft);
    font-size: .75rem; font-weight: 400; }
  .stack td:has(svg) { grid-column: 1 / -1; }
  .stack svg.bar { min-width: 0; }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --panel: #f4f4f4; --link: #000;
    --good: #1f7a4d; --open: #a86400; --bad: #b3261e; --width: #dfe4e6; --met: #12202a; --mark: #1b4f72;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding: .15rem .5rem .15rem 0; }
  h2, h3, caption, thead { break-after: avoid; }
  h2 { margin-top: 1.4rem; }
  tr, figure, dl.cards div { break-inside: avoid; }
}
"""
