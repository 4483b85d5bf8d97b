"""Formulas: what one event is worth, worked out from its properties. Read once, then asked in memory or in SQL."""

from metering.formulas.evaluation import evaluate
from metering.formulas.parser import Formula, FormulaError, parse_formula

__all__ = ["Formula", "FormulaError", "evaluate", "parse_formula"]
