/// The page as a Mustache template. `{{{…}}}` inserts the drawings and the style sheet of this module; all other text
/// is escaped.
let pageTemplate = """
  <!DOCTYPE html>
  <html lang="en">
  <head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="generator" content="{{generator}}">
  <link rel="icon" href="data:,">
  <title>{{title}}</title>
  <style>{{{style}}}</style>
  </head>
  <body>
  <main>
  <header>
  <h1>{{title}}</h1>
  {{#subtitle}}<p class="subtitle">{{.}}</p>{{/subtitle}}
  <ul class="tiles">{{#summary}}<li><b>{{value}}</b><span>{{label}}</span></li>{{/summary}}</ul>
  </header>
  {{#comparisons}}
  <section>
  <h2>Size against drift</h2>
  <p>Mean KL divergence from <b>{{base}}</b> over {{positions}} positions of {{text}}, in windows of {{context}} tokens.
  Lower is better{{#plot}}; whiskers are 95&nbsp;% intervals{{/plot}}.</p>
  {{#plot}}<figure><div class="wide">{{{wide}}}</div><div class="narrow">{{{narrow}}}</div>
  <figcaption>{{#hasBoth}}<span class="key"><i class="dot subject"></i>described here</span>
  <span class="key"><i class="dot other"></i>compared with</span>{{/hasBoth}}
  <span class="key"><i class="dash"></i>nothing smaller is better</span></figcaption></figure>{{/plot}}
  <table>
  <thead><tr><th>file</th><th>size</th><th class="extra">bits per weight</th><th>mean KLD</th>
  <th class="extra">±</th><th class="extra">99.9 % KLD</th><th>same top</th><th class="extra">perplexity</th></tr></thead>
  <tbody>{{#rows}}<tr{{#strong}} class="strong"{{/strong}}><th>{{name}}{{#front}}&nbsp;<i title="nothing smaller is better"
  >◆</i>{{/front}}</th><td>{{size}}</td><td class="extra">{{bits}}</td><td>{{kld}}</td><td class="extra">{{error}}</td>
  <td class="extra">{{worst}}</td><td>{{top}}</td><td class="extra">{{perplexity}}</td></tr>{{/rows}}</tbody>
  </table>
  <p class="note">◆ nothing smaller is better. ± is one standard error. The original's perplexity is
  {{basePerplexity}}.</p>
  </section>
  {{/comparisons}}
  {{#kinds}}
  <section>
  <h2>Drift by kind of text</h2>
  {{#models}}
  <p>Mean KLD of {{name}} with 95&nbsp;% intervals.</p>
  {{#chart}}<figure><div class="wide">{{{wide}}}</div><div class="narrow">{{{narrow}}}</div></figure>{{/chart}}
  {{/models}}
  </section>
  {{/kinds}}
  {{#sensitivity}}
  <section>
  <h2>Sensitivity by layer</h2>
  <p>The cost of rounding {{model}}: nats of KLD per unit of relative error, measured end to end.</p>
  {{#chart}}<figure><div class="wide">{{{wide}}}</div><div class="narrow">{{{narrow}}}</div></figure>{{/chart}}
  <p class="ramp">{{minimum}} or less {{#ramp}}<span class="swatch shade{{.}}"></span>{{/ramp}} {{maximum}}</p>
  </section>
  {{/sensitivity}}
  {{#files}}
  <section>
  <h2>{{name}}</h2>
  <h3>Bits by layer</h3>
  <ul class="legend">{{#types}}<li><span class="swatch shade{{shade}}"></span>{{type}}<span class="dim">
  {{bits}} bits · {{count}} tensors · {{size}}</span></li>{{/types}}</ul>
  {{#grid}}<figure><div class="wide">{{{wide}}}</div><div class="narrow">{{{narrow}}}</div></figure>{{/grid}}
  <p class="note">Outside of layers: {{#others}}<span class="item">{{name}} {{type}}</span> {{/others}}</p>
  <h3>Where the bytes go</h3>
  {{#bytesByPart}}<figure><div class="wide">{{{wide}}}</div><div class="narrow">{{{narrow}}}</div></figure>{{/bytesByPart}}
  {{#recipe}}
  <h3>The recipe</h3>
  {{#command}}<p>Save it as <code>mix.yaml</code>; <code>{{.}}</code> makes the mix
  again.</p>{{/command}}
  <pre>{{yaml}}</pre>
  {{/recipe}}
  <h3>Run it</h3>
  <dl class="run">{{#run}}<dt>{{program}}</dt><dd><pre>{{command}}</pre></dd>{{/run}}</dl>
  <h3>Provenance</h3>
  <dl class="facts">{{#provenance}}<div><dt>{{key}}</dt><dd>{{value}}</dd></div>{{/provenance}}</dl>
  </section>
  {{/files}}
  <footer>Made by {{generator}}.</footer>
  </main>
  </body>
  </html>

  """

/// The style sheet. Colours are variables for light and dark mode; print is always light.
let pageStyle = """
  :root{--paper:#fdfcfa;--ink:#22252b;--dim:#6a6f7a;--rule:#e3e0da;--card:#f4f2ed;--accent:#b4471f;--other:#5d7a99;
  --s0:#f3e4d3;--s1:#efd0ae;--s2:#e9b888;--s3:#de9c68;--s4:#cc7e50;--s5:#b16244;--s6:#8f4a3d;--s7:#6b3636;--s8:#47252c}
  @media (prefers-color-scheme:dark){:root{--paper:#16181d;--ink:#e4e5e8;--dim:#989daa;--rule:#30343d;--card:#1f2229;
  --accent:#f08a5d;--other:#8aa9c8;
  --s0:#33262a;--s1:#4a2e30;--s2:#653a36;--s3:#834a3e;--s4:#a35f48;--s5:#c07a57;--s6:#d6986f;--s7:#e7b893;--s8:#f4dabf}}
  *{box-sizing:border-box}
  body{margin:0;background:var(--paper);color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
  main{max-width:808px;margin:0 auto;padding:32px 24px 64px}
  h1{font-size:1.7rem;line-height:1.2;margin:0 0 20px;overflow-wrap:anywhere;letter-spacing:-.01em}
  h1:has(+.subtitle){margin-bottom:4px}
  h2{font-size:1.25rem;margin:44px 0 8px;overflow-wrap:anywhere;letter-spacing:-.005em}
  h3{font-size:1rem;margin:28px 0 6px}
  .subtitle{color:var(--dim);margin:0 0 20px;overflow-wrap:anywhere}
  p{margin:8px 0 12px}
  .note,.dim,footer{color:var(--dim);font-size:.86rem}
  .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;list-style:none;padding:0;margin:0}
  .tiles li{background:var(--card);border-radius:10px;padding:12px 14px}
  .tiles b{display:block;font-size:1.35rem;line-height:1.3;overflow-wrap:anywhere}
  .tiles span{color:var(--dim);font-size:.82rem}
  figure{margin:12px 0}
  figcaption{color:var(--dim);font-size:.82rem;display:flex;flex-wrap:wrap;gap:4px 20px}
  .key i{display:inline-block;margin-right:7px;vertical-align:middle}
  .dot{width:9px;height:9px;border-radius:50%}
  .dot.subject{background:var(--accent)}.dot.other{background:var(--other)}
  .dash{width:20px;border-top:2px dashed var(--accent)}
  svg{display:block;width:100%;height:auto}
  .narrow{display:none}
  svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink)}
  svg text.tick{fill:var(--dim)}
  svg text.strong{font-weight:600}
  svg text.halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
  svg text.inside{font-size:10px}
  svg text.deep{fill:var(--paper)}
  svg .grid{stroke:var(--rule);stroke-width:1}
  svg .front{fill:none;stroke:var(--accent);stroke-width:1.5;stroke-dasharray:4 3;opacity:.75}
  svg .subject{fill:var(--accent)}
  svg .other{fill:var(--other)}
  svg .whisker{stroke-width:2;fill:none}
  svg .subject.whisker{stroke:var(--accent)}
  svg .other.whisker{stroke:var(--other)}
  svg .bar{fill:var(--other)}
  .shade0{fill:var(--s0);background:var(--s0)}.shade1{fill:var(--s1);background:var(--s1)}
  .shade2{fill:var(--s2);background:var(--s2)}.shade3{fill:var(--s3);background:var(--s3)}
  .shade4{fill:var(--s4);background:var(--s4)}.shade5{fill:var(--s5);background:var(--s5)}
  .shade6{fill:var(--s6);background:var(--s6)}.shade7{fill:var(--s7);background:var(--s7)}
  .shade8{fill:var(--s8);background:var(--s8)}
  table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
  td,th{padding:5px 8px;text-align:right;border-bottom:1px solid var(--rule)}
  thead th{color:var(--dim);font-weight:500;font-size:.8rem;vertical-align:bottom}
  td{white-space:nowrap}
  th:first-child{text-align:left;font-weight:400;padding-left:0;overflow-wrap:anywhere}
  .strong th,.strong td{font-weight:600}
  th i{color:var(--accent);font-style:normal;font-size:.75em}
  .legend{list-style:none;padding:0;margin:8px 0;display:flex;flex-wrap:wrap;gap:4px 20px;font-size:.9rem}
  .swatch{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px}
  .ramp{color:var(--dim);font-size:.82rem}
  .ramp .swatch{margin:0;border-radius:0;width:18px;vertical-align:-1px}
  .item{white-space:nowrap;margin-right:10px}
  pre{background:var(--card);border-radius:8px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere;
  font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:8px 0}
  code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
  dl{margin:8px 0}
  dd{margin:0}
  .run dt{font-weight:600;font-size:.9rem}
  .facts div{display:grid;grid-template-columns:minmax(0,2fr) minmax(0,3fr);gap:12px;padding:4px 0;
  border-bottom:1px solid var(--rule);font-size:.86rem}
  .facts dt{color:var(--dim);overflow-wrap:anywhere}
  .facts dd{overflow-wrap:anywhere}
  footer{margin-top:48px}
  @media (max-width:640px){main{padding:20px 16px 48px}.wide{display:none}.narrow{display:block}.extra{display:none}
  table{font-size:.84rem}td,th{padding:5px 4px}.facts div{grid-template-columns:minmax(0,1fr);gap:0}}
  @page{margin:16mm}
  @media print{:root{--paper:#fff;--ink:#000;--dim:#444;--rule:#ccc;--card:#f6f6f6;--accent:#b4471f;--other:#5d7a99;
  --s0:#f3e4d3;--s1:#efd0ae;--s2:#e9b888;--s3:#de9c68;--s4:#cc7e50;--s5:#b16244;--s6:#8f4a3d;--s7:#6b3636;--s8:#47252c}
  *{print-color-adjust:exact;-webkit-print-color-adjust:exact}main{max-width:none;padding:0}
  figure,table,pre{break-inside:avoid}h2{break-after:avoid}}
  """
