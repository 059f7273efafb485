//! Colours, for light and for dark screens: whichever the reader's is set to.

pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5f6b78;--line:#dde2e8;--card:#f5f7f9;
--lead:#2f7d4f;--follow:#bfdccb;--candidate:#e3c35a;--silent:#e3e6ea;--fault:#c9483f;--members:#8458b3;
--brokers:#3f7f93;--ok:#2f6fc4;--unknown:#c87400;--refused:#a3abb5;--band:rgba(201,72,63,.07);--on:#fff}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e8ec;--dim:#9aa5b0;--line:#333a42;--card:#1d2228;
--lead:#4fb47c;--follow:#2a4a39;--candidate:#b79a3c;--silent:#262b31;--fault:#e2736f;--members:#a98ad6;
--brokers:#62a5ba;--ok:#6aa5f0;--unknown:#f0a840;--refused:#66707a;--band:rgba(226,115,111,.09);--on:#14171b}}
*{box-sizing:border-box}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:0}
main{max-width:1180px;margin:0 auto;padding:1.5em 1.2em 4em}
h2{font-size:1.15em;margin:2.2em 0 .6em}.dim{color:var(--dim)}
header{border-left:.5em solid var(--dim);padding:.4em 1em;background:var(--card);border-radius:4px}
header h1{margin:0;font-size:1.9em;line-height:1.2}header p{margin:0}
header.pass{border-color:var(--lead)}header.violation{border-color:var(--fault)}
header.unknown{border-color:var(--unknown)}
.pass h1,b.pass,td.pass{color:var(--lead)}.violation h1,b.violation,td.violation{color:var(--fault)}
.unknown h1,b.unknown,td.unknown,pre.unknown{color:var(--unknown)}
.tiles{display:flex;flex-wrap:wrap;gap:.8em;margin:1.2em 0}
.tiles div{background:var(--card);border-radius:6px;padding:.6em 1em;flex:1 1 10em}
.tiles b{display:block;font-size:1.6em;line-height:1.2;font-variant-numeric:tabular-nums}
.tiles span{color:var(--dim);font-size:.9em}
pre{background:var(--card);border-radius:6px;padding:.8em 1em;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere;font-size:.85em}
table{border-collapse:collapse;width:100%;font-size:.92em}
td,th{padding:.3em .9em .3em 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
a{color:var(--ok)}.columns{columns:22em auto;column-gap:2.5em}.columns div{break-inside:avoid;display:flex;
gap:1em;border-bottom:1px solid var(--line);padding:.2em 0;font-size:.92em}
.columns b{min-width:4.5em;text-align:right;font-weight:600;font-variant-numeric:tabular-nums}
details{margin-top:2em}summary{cursor:pointer}
svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font-size:11px}
svg text.on{fill:var(--on);font-size:10px;pointer-events:none}svg text.beside{font-size:10px;pointer-events:none}svg text.name{fill:var(--fg);font-size:12px}
.legend{display:flex;flex-wrap:wrap;gap:.3em 1.2em;color:var(--dim);font-size:.88em;margin:.4em 0}
.legend i{display:inline-block;width:.9em;height:.9em;border-radius:3px;margin-right:.4em;vertical-align:-.1em}";
