"""Sections of the report page: each module has a function that builds the HTML of a section from the report."""
