"""A page as nested elements. Text is escaped unless it is `Markup` already."""

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any

from hsjax.report.figures import Picture

# What is longer is folded away.
_MOST_PICTURES, _MOST_ROWS = 6, 20


class Markup(str):
    """HTML that is complete and safe as it stands."""


# Text, markup, or a sequence of such, nested as is convenient.
Content = str | Sequence[Any]


def markup(content: Content) -> Markup:
    """Escapes text and joins parts."""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(html.escape(content))
    return Markup("".join(markup(part) for part in content))


def element(tag: str, content: Content = "", **attributes: str) -> Markup:
    """`<tag attribute="...">content</tag>`; `class_` and `aria_label` stand for `class` and `aria-label`."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{markup(content)}</{tag}>")


def paragraph(content: Content, **attributes: str) -> Markup:
    """A paragraph."""
    return element("p", content, **attributes)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page that its contents list.

    Attributes:
      identifier: of the anchor.
      title: heading, and line in the contents.
      content: what is below.
    """

    identifier: str
    title: str
    content: Content

    def written(self) -> Markup:
        """Heading and content."""
        heading = element("h2", self.title, id=f"{self.identifier}-title")
        return element(
            "section", [heading, self.content], id=self.identifier, aria_labelledby=f"{self.identifier}-title"
        )


def contents(sections: Iterable[Section]) -> Markup:
    """Links to sections."""
    links = [element("li", element("a", section.title, href=f"#{section.identifier}")) for section in sections]
    return element("nav", element("ul", links), aria_label="Contents")


def preformatted(words: str) -> Markup:
    """A command or settings, as they are typed."""
    return element("pre", element("code", words))


def details(summary: str, content: Content) -> Markup:
    """Content that is folded away at first."""
    return element("details", [element("summary", summary), content])


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Content]]) -> Markup:
    """A table that scrolls sideways on narrow screens; the first cell of each row names it."""
    head = element("tr", [element("th", name, scope="col") for name in header])
    body = [
        element("tr", [element("th", first, scope="row"), [element("td", cell) for cell in rest]])
        for first, *rest in rows
    ]
    # The span keeps the caption in sight while the table scrolls below it.
    above = element("caption", element("span", caption))
    whole = element("table", [above, element("thead", head), element("tbody", body)])
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def figure(picture: Picture, caption: str) -> Markup:
    """A picture on a white card, embedded."""
    image = Markup(f'<img src="{picture.uri}" alt="{html.escape(picture.alt)}">')
    return element("figure", [image, element("figcaption", caption)])


def gallery(figures: Sequence[Markup]) -> Markup:
    """Pictures side by side where there is room."""
    return element("div", list(figures), class_="gallery")


def folded_gallery(summary: str, figures: Sequence[Markup]) -> Content:
    """As `gallery`, folded away where the pictures are many; nothing where there are none."""
    if not figures:
        return ""
    return gallery(figures) if len(figures) <= _MOST_PICTURES else details(summary, gallery(figures))


def folded_table(summary: str, caption: str, header: Sequence[str], rows: Sequence[Sequence[Content]]) -> Markup:
    """As `table`, folded away where the rows are many."""
    whole = table(caption, header, rows)
    return whole if len(rows) <= _MOST_ROWS else details(summary, whole)


def document(title: str, style: str, body: Content) -> str:
    """The whole page; it makes no request."""
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", Markup(style)),
    ]
    page = Markup(f'<html lang="en">{element("head", head)}{element("body", body)}</html>')
    return f"<!DOCTYPE html>\n{page}\n"
