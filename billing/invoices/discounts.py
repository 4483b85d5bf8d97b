"""Take coupons off an invoice: a line for each, after the lines that they discount. Pure.

Each coupon takes off what those before it left of the products that it is for: its amount, or its percentage, rounded
once. It never takes more than there is of these products, nor of the invoice. What it took is shared out among them in
proportion, so that the next one finds what is left of each.
"""

from collections.abc import Sequence
from decimal import Decimal

from billing.invoices.model import LineItem
from billing.money import MONEY, allocate, round_half_away
from billing.pricing import EntryType, RatedTier, percent_of
from billing.subscriptions.coupons import AppliedCoupon
from metering.windows import Window

_ONE = Decimal(1)
_ZERO = Decimal(0)


def discount_lines(
    lines: Sequence[LineItem], coupons: Sequence[AppliedCoupon], currency: str, period: Window
) -> list[LineItem]:
    """Give the lines of the coupons of an invoice, in their order; none for one that finds nothing to take off."""
    left: dict[str, int] = {}
    for line in lines:
        assert line.product_id is not None, "coupons come after all products"
        left[line.product_id] = left.get(line.product_id, 0) + line.signed_amount
    total, out = sum(line.signed_amount for line in lines), []
    for coupon in coupons:
        wanted = [name for name, amount in left.items() if _is_for(coupon, name) and amount > 0]
        base = sum(left[name] for name in wanted)
        discount = max(0, min(_asked(coupon, base), base, total))
        if not discount:
            continue
        shares = [MONEY.multiply(Decimal(discount), Decimal(left[name])) for name in wanted]
        for name, share in zip(wanted, allocate(discount, shares, base), strict=True):
            left[name] -= share
        total -= discount
        out.append(_line(coupon, discount, [line.key for line in lines if line.product_id in wanted], currency, period))
    return out


def _is_for(coupon: AppliedCoupon, product_id: str) -> bool:
    return coupon.product_ids is None or product_id in coupon.product_ids


def _asked(coupon: AppliedCoupon, base: int) -> int:
    terms = coupon.terms
    if terms.percent is not None:
        return round_half_away(percent_of(base, terms.percent))
    assert terms.amount is not None, "a coupon is an amount or a percentage"
    return terms.amount


def _line(coupon: AppliedCoupon, discount: int, keys: Sequence[str], currency: str, period: Window) -> LineItem:
    return LineItem(
        coupon.name,
        None,
        EntryType.CREDIT,
        _ONE,
        currency,
        discount,
        (RatedTier(_ZERO, None, _ONE, discount),),
        f"coupon/{coupon.id}",
        period,
        coupon=coupon,
        discounted=tuple(keys),
    )
