"""docs/reliability.md agrees with its records."""

from benchmarks import reliability_page


def test_page_is_up_to_date():
    assert all(path.read_text(encoding="utf-8") == text for path, text in reliability_page.pages().items())


def test_missing_records_are_named():
    page = reliability_page.reliability_page([], None)
    assert page.count("Not measured yet") == len(reliability_page.PARTS) + 1
