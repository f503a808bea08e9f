"""The page: one self-contained HTML file for the people whose release it stops.

``page`` looks up what is shown, ``drawings`` draws it as SVG; ``page.html``, ``page.css`` and ``page.js`` are how it
looks.
"""
