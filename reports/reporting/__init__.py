"""Questions and answers in one Markdown file: read, checked against the rules beside them, and made a page."""
