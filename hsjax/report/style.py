"""How the page looks: one column, light or dark as the reader's system is, figures on white cards in both."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1b1b; --soft: #5a5a5a; --line: #d8d8d8; --shade: #f5f6f8; --link: #0a58a5;
  --bad: #b3261e; --good: #17693a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --ink: #e8e8e8; --soft: #a6a6a6; --line: #3a3d42; --shade: #1f2226; --link: #82b7f0;
    --bad: #ff9b92; --good: #84d6a3;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif;
}
h1 { margin: 0.5rem 0; line-height: 1.2; }
h2 { margin: 2.5rem 0 0.5rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.5rem 0 0.25rem; }
p, li, dd { max-width: 46rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0; list-style: none; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem 1rem; }
.banner {
  max-width: none; margin: 0 0 1rem; padding: 0.75rem 1rem; background: #8a1c14; color: #ffffff; text-align: center;
  font-weight: 700; line-height: 1.3;
}
.banner strong { display: block; font-size: clamp(2rem, 9vw, 5rem); line-height: 1.1; letter-spacing: 0.04em; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.4rem; }
caption span { display: block; position: sticky; left: 0; width: min(46rem, calc(100vw - 2rem)); }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 600; background: var(--paper); position: sticky; left: 0; }
tbody tr:nth-child(even) > * { background: var(--shade); }
data, .passed, .failed, .unbroken { white-space: nowrap; }
.interval { display: block; color: var(--soft); font-size: 0.85em; white-space: nowrap; }
.passed { color: var(--good); }
.failed { color: var(--bad); font-weight: 700; }
.gallery {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; margin: 1rem 0;
}
figure { margin: 0; max-width: 30rem; }
figure img {
  display: block; width: 100%; height: auto; padding: 0.25rem; background: #ffffff; border: 1px solid var(--line);
}
figcaption { padding-top: 0.25rem; color: var(--soft); font-size: 0.9rem; }
pre { overflow-x: auto; padding: 0.75rem; background: var(--shade); border: 1px solid var(--line); }
code { overflow-wrap: anywhere; }
pre code { overflow-wrap: normal; }
summary { cursor: pointer; padding: 0.25rem 0; }
td { overflow-wrap: break-word; }
"""
