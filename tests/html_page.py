"""A page of HTML as tests read it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The links, pictures, ids and outside resources of a page."""

    def __init__(self, html):
        super().__init__()
        self.links, self.images, self.ids, self.loaded, self.text = [], [], set(), [], ""
        self.classes, self.open = {}, []  # text by class
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        self.open.append(values.get("class"))
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag in ("img", "script", "link", "iframe"):
            self.loaded.append(values.get("src") or values.get("href") or "")

    def handle_data(self, data):
        self.text += data
        if self.open and data.strip():
            self.classes.setdefault(self.open[-1], []).append(data.strip())
