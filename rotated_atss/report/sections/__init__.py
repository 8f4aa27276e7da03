"""Sections of the report page: each module except ``context`` builds the HTML of one or two sections."""
