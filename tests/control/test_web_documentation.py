from __future__ import annotations

import re
from pathlib import Path

from callwright.control.web.documentation import documents, rendered


def test_every_document_comes_with_the_package_and_its_links_lead_somewhere() -> None:
    folder = Path(__file__).parents[2] / "docs"
    found = {document.name: document for document in documents()}
    assert set(found) == {path.stem for path in folder.glob("*.md")}
    for document in found.values():
        anchors = set(re.findall(r'id="([^"]+)"', document.html))
        for href in re.findall(r'href="([^"]+)"', document.html):
            if href.startswith("/docs/"):
                name, _, part = href.removeprefix("/docs/").partition("#")
                target = set(re.findall(r'id="([^"]+)"', found[name].html))
                assert not part or part in target, (document.name, href)
            else:
                assert href.startswith("https://"), (document.name, href)
        assert all(part in anchors for part, _ in document.parts)


def test_html_in_a_document_is_text_and_links_elsewhere_are_words() -> None:
    assert "Made by" not in rendered("a", "<!-- Made by\nx -->\n# A\n").html
    shown = rendered(
        "a", "# A\n<script>x</script>\n\n[b](b.md#c) [gone](../README.md) ![p](p.png)", frozenset({"b"})
    )
    assert "<script>" not in shown.html
    assert 'href="/docs/b#c"' in shown.html
    assert "README" not in shown.html
    assert "gone" in shown.html
    assert "<img" not in shown.html
