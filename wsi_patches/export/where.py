"""Which patches: a condition on columns, such as ``focus < 8 and blast > 0``.

The text is parsed as a Python expression and walked node by node; nothing of it is ever run. It may hold names of
columns, numbers, texts in quotes, comparisons (``==  !=  <  <=  >  >=  in  not in``), ``and``, ``or``, ``not`` and
brackets. What is not known of a patch (a slide without annotations or without a group) fulfils no comparison but
``!=`` and ``not in``.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["Columns", "class_column", "select"]

Column = NDArray[Any]
Columns = Mapping[str, Callable[[], Column]]
"""What a condition may speak of: each column is read when it is asked for. Texts are arrays of objects."""
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
LONGEST = 2000
"""Characters of a condition; deeper brackets than these can hold are no condition of a person."""


def class_column(name: str, taken: Sequence[str]) -> str:
    """Return the column that counts the cells of a class: its name, as far as that is a name of Python's."""
    plain = re.sub(r"\W", "_", name)
    if plain in taken or not plain.isidentifier() or keyword.iskeyword(plain):
        return f"count_{plain}"
    return plain


def select(text: str, columns: Columns) -> NDArray[np.bool_]:
    """Return which patches fulfil a condition, shape ``(n,)``.

    Raises
    ------
    UsageError
        It is no such condition, or speaks of a column that there is not; those that there are are listed.
    """
    try:
        if len(text) > LONGEST:
            msg = f"it is longer than {LONGEST} characters"
            raise SyntaxError(msg)
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        msg = f"--where {text[:200]!r} cannot be read ({reason}): write a condition such as 'focus < 8 and x >= 100'"
        raise UsageError(msg) from error
    return _Condition(text, columns).truth(tree)


class _Condition:
    def __init__(self, text: str, columns: Columns) -> None:
        self.text, self.columns = text, columns

    def truth(self, node: ast.expr) -> NDArray[np.bool_]:
        """Return what a node says of each patch."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return np.asarray(join.reduce([self.truth(one) for one in node.values]), bool)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides[:-1], node.ops, sides[1:], strict=True)
            return np.asarray(np.logical_and.reduce([self.comparison(*pair) for pair in pairs]), bool)
        if isinstance(node, ast.Name):
            column = self.column(node)
            if column.dtype == bool:
                return column
            raise self.error(node, "compare it with something, as in `> 0`")
        raise self.error(node, "it may hold columns, numbers, texts, comparisons, and, or, not")

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> NDArray[np.bool_]:
        """Return what a comparison of two values says of each patch."""
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                raise self.error(right, "write what it may be in brackets, as in `('train', 'test')`")
            equal = [self.comparison(left, ast.Eq(), one) for one in right.elts]
            found = np.asarray(np.logical_or.reduce(equal), bool)
            return found if isinstance(op, ast.In) else ~found
        compare = COMPARISONS.get(type(op))
        if compare is None:
            raise self.error(left, "compare by ==, !=, <, <=, >, >=, in")
        one, other = self.value(left), self.value(right)
        if not (isinstance(one, np.ndarray) or isinstance(other, np.ndarray)):
            raise self.error(left, f"neither side of the comparison is a column: {self.known()}")
        if _is_text(one) != _is_text(other):
            raise self.error(left, "a text is compared with a text in quotes, and a number with a number")
        if _is_text(one) and isinstance(op, ORDERS):
            raise self.error(left, "texts are compared by ==, != and in")
        return np.asarray(compare(one, other), bool)

    def value(self, node: ast.expr) -> Any:
        """Return a column, a number or a text."""
        if isinstance(node, ast.Name):
            return self.column(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            value = node.operand.value
            if isinstance(value, int | float):
                return -value
        raise self.error(node, "a column, a number or a text in quotes is wanted here")

    def column(self, node: ast.Name) -> Column:
        """Return a column by its name."""
        if node.id not in self.columns:
            raise self.error(node, f"there is no such column: {self.known()}")
        return self.columns[node.id]()

    def known(self) -> str:
        """Return the columns that there are, as a sentence."""
        return f"there are {', '.join(self.columns)}"

    def error(self, node: ast.expr, what: str) -> UsageError:
        """Return the error that names a node."""
        return UsageError(f"--where {self.text!r}, at {ast.unparse(node)!r}: {what}")


def _is_text(value: Any) -> bool:
    return value.dtype == object if isinstance(value, np.ndarray) else isinstance(value, str)
