"""A hook of mkdocs: the built pages load nothing from elsewhere, so that they can be read without a network."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

__all__ = ["on_post_build"]

_LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?((?:https?:)?//[^"' >]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|pre|modulepreload))[^>]*\bhref=["']?((?:https?:)?//[^"' >]+)"""
    r"""|(?:url\(|@import\s)["']?((?:https?:)?//[^"')]+)"""
)


def on_post_build(config: dict[str, object], **_: object) -> None:
    """Refuse pages and styles that load something from elsewhere.

    Raises:
        PluginError: One does.
    """
    site = Path(str(config["site_dir"]))
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    if not pages:
        raise PluginError(f"there are no pages in {site}")
    for page in pages:
        found = _LOADS.search(page.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{page.relative_to(site)} would load {next(filter(None, found.groups()))}")
