"""What stops a report from being read."""


class UnreadableError(Exception):
    """The document cannot be read at all; the message says why and what to do."""


class ImageError(Exception):
    """An image cannot be shown; the message says why, to follow the image's name."""
