"""Open invoices as the pages show them."""

from zoneinfo import ZoneInfo

from billing.invoices.model import line_item_id
from deploy.pages.billed import shown_invoice
from tests.browser.stage import a_line, an_invoice


def test_each_part_of_a_product_that_changed_opens_its_own_events():
    """Lines of one product are told apart as the invoice itself does."""
    lines = [a_line("Seats", 400, "4"), a_line("Seats", 100, "1", line_suffix="2025-03-05T00:00:00Z")]
    invoice = an_invoice("cus_1", lines=lines)
    shown = shown_invoice(invoice, ZoneInfo("UTC"))
    assert [line.id for line in shown.lines] == [line_item_id(invoice.id, line.key) for line in lines]
    assert len(set(shown.paths.values())) == 2
