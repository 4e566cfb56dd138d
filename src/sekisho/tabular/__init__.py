"""Tables that a person fills: CSV and xlsx in, typed rows or every problem at once; and out again.

Pure: bytes and declared tables in, values out. What is stored already is handed in.
"""

from sekisho.tabular.parse import Parsed, parse
from sekisho.tabular.plan import Plan, Stored, plan
from sekisho.tabular.say import told
from sekisho.tabular.sheet import Sheet, SheetRow, read
from sekisho.tabular.values import Row, Value, show
from sekisho.tabular.write import template, write

__all__ = [
    "Parsed",
    "Plan",
    "Row",
    "Sheet",
    "SheetRow",
    "Stored",
    "Value",
    "parse",
    "plan",
    "read",
    "show",
    "template",
    "told",
    "write",
]
