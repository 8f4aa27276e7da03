"""Sections of the report page: one function per section, from the report to HTML."""
