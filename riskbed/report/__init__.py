"""report.html: one self-contained page of a run, drawn by plotly from its installed wheel. No request leaves the page."""

from riskbed.report.html import BYTES_MAX
from riskbed.report.page import render

__all__ = ["BYTES_MAX", "render"]
