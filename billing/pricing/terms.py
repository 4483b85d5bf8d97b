"""Read what is agreed about a product beyond its price rows."""

from billing.pricing.model import NO_TERMS, Terms
from billing.pricing.rows import ONE, Fields, named, shown


def read_terms(fields: Fields) -> Terms:
    """Read `count`, `min_committed_count`, `min_amount`, `max_amount` and `allow_negative_values`, all optional.

    Faults are noted in `fields`; what is given back is of use only if there are none.
    """
    noted = len(fields.faults)
    count = fields.number("count", default=ONE)
    committed = fields.optional("min_committed_count")
    least, most = fields.minor_units("min_amount"), fields.minor_units("max_amount")
    allow_negative = fields.get("allow_negative_values")
    if allow_negative is not None and not isinstance(allow_negative, bool):
        where = named((*fields.path, "allow_negative_values"))
        fields.note("invalid_type", "allow_negative_values", f"{where} is {shown(allow_negative)}: send true or false")
    if least is not None and most is not None and least > most:
        where = named((*fields.path, "min_amount"))
        fields.note("min_above_max", "min_amount", f"{where} is {least}, above the max_amount {most}: lower it")
    if len(fields.faults) != noted:
        return NO_TERMS
    return Terms(
        count=count,
        min_committed_count=committed,
        min_amount=least,
        max_amount=most,
        allow_negative_values=bool(allow_negative),
    )
