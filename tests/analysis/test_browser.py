#!/usr/bin/env python3
"""The report in headless Chromium: nothing is logged or fetched, every figure is drawn and fits, the table sorts and filters, light and dark differ,
and nothing scrolls sideways on a phone. With SHOTS=FOLDER the screenshots are kept for looking at.

exit 77: Chromium, h5py or numpy is missing
"""

import contextlib
import io
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "analysis"), HERE]
try:
    import h5py  # noqa: F401
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)
import browser  # noqa: E402
import make_store  # noqa: E402
from relearn_analysis import command  # noqa: E402

if not browser.find():
    print("SKIPPED: no Chromium on this machine (Debian: apt-get install chromium)")
    sys.exit(77)

FIGURES = [
    "recovery",
    "concept",
    "saliency",
    "ridges",
    "similarity",
    "similarity_map",
    "speed",
    "steps",
    "centre",
    "relocation",
    "primed",
    "polysemanticity",
    "seeds",
    "resistance",
]


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        path = os.path.join(cls.place.name, "results.h5")
        make_store.write(
            path,
            axes={"prune.select": ["concept", "random"], "prune.ratio": [0.1, 0.3]},
            seeds=4,
            failed=[2],
            nan=[5],
            curve=True,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            assert command.main(["report", cls.place.name]) == 0
        cls.page = os.path.join(cls.place.name, "report", "index.html")
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        cls.place.cleanup()

    def setUp(self):
        self.browser.errors.clear()

    def open(self, **how):
        self.browser.open(self.page, **how)
        self.browser.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        self.assertEqual(self.browser.errors, [])

    def js(self, expression):
        return self.browser.evaluate(expression)

    def test_every_figure_is_drawn(self):
        self.open()
        self.assertEqual(self.js("[...document.querySelectorAll('figure')].map(f => f.id)"), FIGURES)
        empty = self.js(
            "[...document.querySelectorAll('figure .panels > svg')].filter(s => s.getBoundingClientRect().height < 60 || s.querySelectorAll('path,rect,circle').length < 3).length"
        )
        self.assertEqual(empty, 0)
        self.assertEqual(
            self.js("[...document.querySelectorAll('figure .says')].filter(p => !/[0-9]/.test(p.textContent)).length"),
            0,
        )
        self.assertEqual(
            self.js(
                "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.getAttribute('href').slice(1))).map(a => a.outerHTML)"
            ),
            [],
        )

    def test_no_text_runs_out_of_its_drawing(self):
        for width in (390, 1280):
            self.open(width=width)
            out = self.js("""[...document.querySelectorAll('figure .panels > svg')].flatMap(s => { const b = s.getBoundingClientRect();
                return [...s.querySelectorAll('text')].filter(t => { const r = t.getBoundingClientRect(); return r.left < b.left - 3 || r.right > b.right + 3; })
                .map(t => s.closest('figure').id + ': ' + t.textContent); })""")
            self.assertEqual(out, [], f"at {width} px")

    def test_the_table_sorts_both_ways_with_gaps_last(self):
        self.open()
        column = self.js(
            "[...document.querySelectorAll('#run-table th')].findIndex(h => h.dataset.name === 'recovered')"
        )
        cells = f"[...document.querySelectorAll('#run-table tbody tr')].map(r => r.cells[{column}].dataset.v)"
        before = self.js(cells)
        for up in (True, False):
            self.js(f"document.querySelectorAll('#run-table th button')[{column}].click()")
            shown = self.js(cells)
            self.assertEqual(sorted(shown), sorted(before))
            values = [float(v) for v in shown if v]
            self.assertEqual(values, sorted(values, reverse=not up))
            self.assertEqual([v for v in shown if not v], shown[len(values) :])
            self.assertEqual(
                self.js(f"document.querySelectorAll('#run-table th')[{column}].ariaSort"),
                "ascending" if up else "descending",
            )
        self.assertEqual(len(values), 14)

    def test_the_table_filters_by_text_and_by_the_legend(self):
        self.open()
        rows = "[...document.querySelectorAll('#run-table tbody tr')].filter(r => !r.hidden).length"
        self.assertEqual(self.js(rows), 16)
        self.js(
            "{const f = document.getElementById('filter'); f.value = 'prune.select=random prune.ratio=0.1'; f.dispatchEvent(new Event('input'))}"
        )
        self.assertEqual(self.js(rows), 4)
        self.assertEqual(self.js("document.getElementById('shown').textContent"), "4 of 16 runs")
        self.js("document.querySelector('[data-filter=\"status=failed\"]').click()")
        self.assertEqual(self.js(rows), 1)

    def test_light_and_dark(self):
        colours = []
        for dark in (False, True):
            self.open(dark=dark)
            colours.append(self.js("['backgroundColor', 'color'].map(k => getComputedStyle(document.body)[k])"))
            brightness = [np.mean([int(v) for v in c[c.index("(") + 1 : -1].split(",")[:3]]) for c in colours[-1]]
            self.assertEqual(brightness[0] < brightness[1], dark)
            fill = self.js("getComputedStyle(document.querySelector('svg .title')).fill")
            self.assertEqual(fill, colours[-1][1])
        self.assertNotEqual(colours[0], colours[1])

    def test_a_phone_scrolls_down_only(self):
        self.open(width=390, height=844)
        self.assertEqual(self.js("document.documentElement.scrollWidth"), 390)
        self.assertGreater(self.js("document.querySelector('.scroll').scrollWidth"), 390)

    def test_screenshots(self):
        folder = os.environ.get("SHOTS", self.place.name)
        os.makedirs(folder, exist_ok=True)
        sizes = {}
        for name, width in (("phone", 390), ("desktop", 1280)):
            for dark in (False, True):
                self.open(width=width, dark=dark)
                path = os.path.join(folder, f"{name}-{'dark' if dark else 'light'}.png")
                self.browser.screenshot(path, whole=True)
                with open(path, "rb") as file:
                    sizes[path] = file.read()
        self.assertTrue(all(s.startswith(b"\x89PNG") and len(s) > 50_000 for s in sizes.values()))
        self.assertEqual(len(set(sizes.values())), 4)


if __name__ == "__main__":
    unittest.main()
