"""The interactive page of a run, made of saved results alone."""

from acdc.report.findings import Findings
from acdc.report.page import page_of, write_page

__all__ = ["Findings", "page_of", "write_page"]
