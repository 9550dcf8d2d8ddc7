"""The page as a Jinja2 template, with its style; in a Python file, as a bundle carries no other kinds of files."""

# ruff: noqa: E501
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { --text: #1b1f24; --soft: #57606a; --back: #fff; --line: #d0d7de; --card: #f6f8fa; --mark: #0072b2; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --soft: #9aa4ae; --back: #12161b; --line: #39424c; --card: #1b222a; --mark: #56b4e9; --warn: #e69f00; }
  img.chart { filter: invert(1) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
main, header, nav { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.warn { color: var(--warn); font-weight: 600; }
a { color: var(--mark); overflow-wrap: anywhere; } nav ul { padding-left: 1.2rem; }
.wide { overflow-x: auto; max-width: 100%; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; } caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 2.5rem); }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
thead th { overflow-wrap: break-word; min-width: 4.5rem; } td { overflow-wrap: anywhere; min-width: 4.5rem; }
.names thead th, .numbers tbody th { overflow-wrap: anywhere; } td.number, .numbers td { white-space: nowrap; }
th small, td small { color: var(--soft); display: block; max-width: 26rem; white-space: normal; font-weight: normal; font-size: .78rem; line-height: 1.3; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .5rem; }
.pictures { grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); margin: 1rem 0; }
.charts { margin: 1rem 0; }
tbody th { min-width: 9rem; }
figcaption { font-size: .85rem; color: var(--soft); padding-top: .3rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
img.chart { background: #fff; width: 100%; max-width: 40rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
details { margin: .5rem 0; } summary { cursor: pointer; }
@media print {
  html { font-size: 10px; } body { font-size: 10px; color: #000; background: #fff; }
  :root { --text: #000; --soft: #444; --back: #fff; --line: #bbb; --card: #fff; --mark: #004a80; --warn: #8a3b00; }
  img.chart { filter: none; max-width: 30rem; }
  figure, tr { break-inside: avoid; } h2, h3, caption { break-after: avoid; } thead { display: table-header-group; }
  .wide { overflow: visible; } table { width: 100%; } th, td { padding-right: .4rem; } td, tbody th { overflow-wrap: anywhere; }
  thead th, td.number, .numbers td { white-space: normal; } td, thead th, tbody th { min-width: 0; }
  .charts { grid-template-columns: repeat(2, 1fr); }
  details::details-content { content-visibility: visible; display: block; }
}
@media (max-width: 62rem) {
  thead th, td.number, .numbers td { white-space: normal; } table { font-size: .8rem; } th, td { padding-right: .5rem; } tbody th { min-width: 7rem; overflow-wrap: anywhere; } td { min-width: 4.2rem; max-width: 16rem; }
}
</style>
</head>
<body>
{% macro table(caption, header, rows, kind="") %}
<div class="wide" tabindex="0" role="region" aria-label="{{ caption }}">
<table{% if kind %} class="{{ kind }}"{% endif %}>
<caption><span>{{ caption }}</span></caption>
<thead><tr>{% for cell in header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}{% if loop.first %}<th scope="row">{{ cell }}</th>{% else %}<td>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endmacro %}
{% macro charts(shown, kind="chart") %}
{% if shown %}
<div class="charts{% if not kind %} pictures{% endif %}">
{% for chart in shown %}
<figure><img{% if kind %} class="{{ kind }}"{% endif %} src="{{ chart.source }}" alt="{{ chart.text }}">
{% if not kind %}<figcaption>{{ chart.text }}</figcaption>{% endif %}</figure>
{% endfor %}
</div>
{% endif %}
{% endmacro %}
{% set heading = "h3" if comparison else "h2" %}
<header>
<h1>{{ title }}</h1>
{% if comparison %}
<nav aria-label="runs"><ul>{% for section in sections %}<li><a href="#run-{{ loop.index }}">{{ section.title }}</a></li>{% endfor %}</ul></nav>
{% endif %}
</header>
<main>
{% if comparison %}
<section>
{% if comparison.synthetic %}<p class="warn">SYNTHETIC DATA: these numbers say nothing about any disease.</p>{% endif %}
{% for sentence in comparison.warnings %}<p class="warn">{{ sentence }}</p>{% endfor %}
{% for sentence in comparison.sentences %}<p>{{ sentence }}</p>{% endfor %}
{{ table("The runs, with 95 % intervals over patients where one is known", comparison.header, comparison.rows, "numbers") }}
{% if comparison.settings.rows %}
{{ table("Settings in which they differ", comparison.settings.header, comparison.settings.rows, "names") }}
{% endif %}
{{ charts(comparison.charts) }}
</section>
{% endif %}
{% for section in sections %}
<section id="run-{{ loop.index }}">
{% if comparison %}<h2>{{ section.title }}</h2>{% endif %}
{% if section.synthetic %}<p class="warn">SYNTHETIC DATA: these numbers say nothing about any disease.</p>{% endif %}
{% for line in section.first %}<p>{{ line }}</p>{% endfor %}
{% for hint in section.hints %}<p class="warn">{{ hint }}</p>{% endfor %}
{% for scored in section.scored %}
<{{ heading }}>{{ scored.part }}</{{ heading }}>
{% for sentence in scored.sentences %}<p>{{ sentence }}</p>{% endfor %}
<div class="wide" tabindex="0" role="region" aria-label="scores, {{ scored.part }}">
<table>
<caption><span>Scores{% if scored.counted %} of {{ scored.counted }}{% endif %}, with 95 % intervals over patients where one is known</span></caption>
<thead><tr><th scope="col">score</th><th scope="col">value</th>{% for name in scored.table.baselines %}<th scope="col">{{ name }}</th>{% endfor %}<th scope="col">images</th><th scope="col">patients</th></tr></thead>
<tbody>
{% for row in scored.table.rows %}
<tr><th scope="row">{{ row.score }}{% if row.meaning %}<small>{{ row.meaning }}</small>{% endif %}</th>
<td class="number">{{ row.value }}{% if row.reason %}<small>{{ row.reason }}</small>{% endif %}</td>{% for cell in row.baselines %}<td class="number">{{ cell }}</td>{% endfor %}<td>{{ row.images }}</td><td>{{ row.patients }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{{ charts(scored.charts) }}
{% for caption, cases in scored.cases.items() %}
{{ table(caption, cases.header, cases.rows) }}
{% endfor %}
{% endfor %}
{% if section.folds %}
<{{ heading }}>Folds</{{ heading }}>
{{ table("Each fold", section.folds.header, section.folds.rows) }}
{% endif %}
{% if section.without %}<p class="soft">The curves of this run are left out, as the page would be too large; its own page has them.</p>{% endif %}
{% if section.curves %}
<{{ heading }}>Curves</{{ heading }}>
{{ charts(section.curves) }}
{% endif %}
{% if section.pictures %}
<{{ heading }}>Pictures</{{ heading }}>
{{ charts(section.pictures, "") }}
{% endif %}
{% if section.left %}<p class="soft">Pictures in the run's plots/ that are left out (further ones of a kind, no room, or not readable): {{ section.left | join(", ") }}.</p>{% endif %}
<{{ heading }}>What was run</{{ heading }}>
{% if section.command %}<pre>{{ section.command }}</pre>{% endif %}
{% if section.changed is none %}
<p class="soft">Which settings differ from the defaults this run has not kept; its command says what was given.</p>
{% elif section.changed %}
{{ table(section.settings, ["setting", "value", "default"] if section.defaults else ["setting", "value"], section.changed) }}
{% else %}
<p>All settings have their defaults.</p>
{% endif %}
{% if section.trained_with %}
{{ table("Settings of the training of these weights that differ from the defaults", ["setting", "value", "default"], section.trained_with) }}
{% endif %}
{% if section.weights %}
{{ table("Weights and data", ["what", "value"], section.weights) }}
{% endif %}
{% if section.parts %}
{{ table("Data", ["part", "images", "patients", "sources"], section.parts) }}
{% endif %}
{{ table("Time, memory and machine", ["what", "value"], section.facts) }}
{% if section.versions %}
<details><summary>Versions</summary>
{{ table("Versions", ["package", "version"], section.versions) }}
</details>
{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
