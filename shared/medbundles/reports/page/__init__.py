"""One self-contained HTML page of a run, of several side by side, or of a cross-validation."""

from medbundles.reports.page.page import page_of, write_page

__all__ = ["page_of", "write_page"]
