"""report.html: one self-contained page of a run, drawn by plotly from its installed wheel. No request leaves the page."""

from riskbed.report.page import BYTES_MAX, render

__all__ = ["BYTES_MAX", "render"]
