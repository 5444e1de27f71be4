"""Property checks of the exercises: each property that a student's code misses comes with a hint.

A check gets the student's functions and returns a list of `Property`; `Run.check` prints them (`labkit.ladder`).
Nothing that the student's code raises leaves a check: it becomes the hint of a missed property.
"""

from labkit.checking.comparing import (
    TOLERANCE,
    any_number,
    close,
    explain,
    no_nan,
    one_per_row,
    row_values,
    same_gradients,
    same_numbers,
)
from labkit.checking.evaluation import AGAIN, STUB, UNEARNED, evaluate, hold_again
from labkit.checking.hints import Function, Hint, Missed, Mistake, Property, weak
from labkit.checking.inputs import drawing_seed, dtype, normal, random_numbers, salted, size
from labkit.checking.stopped import STOPPED, WRITTEN
from labkit.checking.values import as_tensor, number, results, untouched
