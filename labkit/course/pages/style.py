"""The look of the report page; light or dark as the reader's system is."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #fff; --ink: #1c2024; --quiet: #5d6570; --line: #e3e0d8; --accent: #00629b;
  --warn-paper: #fff3d6; --warn-ink: #5c3700; --bad-paper: #fde7dc; --bad-ink: #8a3400;
  --good-paper: #e0eef7; --good-ink: #004a75;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1d2125; --ink: #e8e6e1; --quiet: #a2a9b1; --line: #33393f; --accent: #6db8ea;
    --warn-paper: #3c2d0d; --warn-ink: #ffd98a; --bad-paper: #43210f; --bad-ink: #ffb68f;
    --good-paper: #10324a; --good-ink: #a9d8f8;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
h1 { font-size: clamp(1.8rem, 4vw, 2.6rem); line-height: 1.15; margin: 0 0 1rem; letter-spacing: -.02em; }
h2 { font-size: 1.5rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
a { color: var(--accent); text-underline-offset: .15em; }
.kicker { color: var(--quiet); margin: 0 0 .2rem; font-size: .95rem; }
.quiet, .facts { color: var(--quiet); font-size: .92rem; }
.facts { margin: .2rem 0 .6rem; }
.chips { margin: 0; display: flex; flex-wrap: wrap; gap: .5rem; }
.chip { border-radius: .5rem; padding: .25rem .7rem; font-weight: 600; font-size: .92rem; }
.chip.real { background: var(--good-paper); color: var(--good-ink); }
.chip.synthetic { background: var(--warn-paper); color: var(--warn-ink); outline: 1px dashed currentColor; }
nav ol { list-style: none; margin: 1.4rem 0 0; padding: 0; border-top: 1px solid var(--line); }
nav li { border-bottom: 1px solid var(--line); padding: .5rem 0; display: flex; gap: .9rem; align-items: baseline;
  flex-wrap: wrap; }
nav li .quiet { margin-left: auto; }
.state { font-size: .85rem; font-weight: 600; border-radius: 1em; padding: .1em .7em; white-space: nowrap; }
.state.good { background: var(--good-paper); color: var(--good-ink); }
.state.bad { background: var(--bad-paper); color: var(--bad-ink); }
.state.plain { background: var(--line); }
section { margin: 3.2rem 0; padding-top: 1.2rem; border-top: 3px solid var(--ink); }
.line { margin: 0; display: flex; gap: .8rem; flex-wrap: wrap; align-items: baseline; }
.trouble { background: var(--bad-paper); color: var(--bad-ink); border-radius: .6rem; padding: .7rem 1rem; }
.scroll { overflow-x: auto; }
table.claims { border-collapse: collapse; width: 100%; font-size: .92rem; }
table.claims th { color: var(--quiet); font-weight: 600; font-size: .82rem; }
table.claims th, table.claims td { padding: .55rem .9rem .55rem 0; border-bottom: 1px solid var(--line); }
table.claims td:nth-child(1) { min-width: 16rem; } table.claims td:nth-child(5) { min-width: 14rem; }
table.claims small { color: var(--quiet); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1.4rem;
  margin-top: 1.6rem; align-items: start; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .7rem; overflow: hidden; }
figure.wide { grid-column: 1 / -1; }
figure a { display: block; background: #fff; padding: .8rem; }
figure img { display: block; width: 100%; height: auto; max-height: 34rem; object-fit: contain; }
figcaption { padding: .7rem 1rem; font-size: .88rem; color: var(--quiet); border-top: 1px solid var(--line); }
footer { color: var(--quiet); font-size: .82rem; padding-bottom: 3rem; border-top: 1px solid var(--line); }
@media print { figure, tr { break-inside: avoid; } }
"""
