"""Mutants of each exercise's model solution, made from the syntax tree of its cell.

As a program: `python tests/labs/mutation.py [part of a check's name …]` prints each mutant that its check lets pass
and that the list of equivalent ones does not name.
"""

import ast
import copy
import hashlib
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit.course.grade.exercises import exercises
from labkit.course.run.labs import list_labs, read_notebook

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
AT_LEAST = 40  # mutants of an exercise; where one change gives fewer, two are made at once


@dataclass(frozen=True)
class Task:
    """An exercise: its check, the cell of its model solution, and all that the cell can use."""

    lab: str
    grade_id: str
    check: Callable[..., Any]
    names: tuple[str, ...]
    source: str
    before: str
    test_cell: str
    checked: str

    @property
    def id(self) -> str:
        """Lab and name of the check."""
        return f"{self.lab}-{self.check.__name__}"

    def functions(self, source: str | None = None) -> tuple[Any, ...]:
        """The functions that the check is given, of the solution or of a mutant's source."""
        return functions(self.before, self.source if source is None else source, self.names)


def functions(before: str, source: str, names: tuple[str, ...], note: Any = None) -> tuple[Any, ...]:
    """What the names stand for after both texts ran."""
    space = {
        "torch": torch,
        "np": np,
        "math": math,
        "nn": torch.nn,
        "F": torch.nn.functional,
        "_clamped": _clamped,
        "_rough": _rough,
        "_cut": _cut,
        "_note": note,
    }
    exec(compile(before, "<before>", "exec"), space)
    exec(compile(source, "<solution>", "exec"), space)
    return tuple(space[name] for name in names)


@cache
def tasks() -> tuple[Task, ...]:
    """All exercises of all labs, found through their test cells."""
    found = []
    for lab in list_labs():
        cells = [cell["source"] for cell in read_notebook(lab.path)["cells"] if cell["cell_type"] == "code"]
        solutions = [source for source in cells if "BEGIN SOLUTION" in source]
        imports = "\n".join(line for source in cells for line in _imports(source))
        for grade_id, checks in exercises(lab.path).items():
            for each in checks:
                own = next(s for s in solutions if f"def {each.functions[0]}(" in s)
                before = "\n".join((imports, *solutions[: solutions.index(own)]))
                test = next(s for s in cells if "BEGIN HIDDEN" in s and f", {each.functions[0]}" in s)
                checked = test.split("run.check(")[1].split(")")[0]
                found.append(Task(lab.number, grade_id, each.load(), each.functions, own, before, test, checked))
    return tuple(found)


def _imports(source: str) -> Iterator[str]:
    """Imports of libraries alone: a lab's own are slow, and no solution needs them."""
    libraries = ("import math", "import numpy", "import torch", "from torch", "from math", "from scipy.stats")
    for line in source.splitlines():
        if line.startswith(libraries):
            yield line


def _clamped(value: Any) -> Any:
    return value.clamp(-1, 1) if isinstance(value, torch.Tensor) else np.clip(value, -1, 1)


def _rough(value: Any) -> Any:
    """What fewer bits leave of a value."""
    if isinstance(value, torch.Tensor):
        return value.to(torch.bfloat16).to(value.dtype) if value.is_floating_point() else value
    if isinstance(value, np.ndarray):
        return value.astype(np.int8 if value.dtype.kind in "ib" else np.float16)
    return type(value)(np.float16(value)) if isinstance(value, float) else value


def _cut(values: Any, start: int, less: int) -> list[Any]:
    values = list(values)
    return values[start : len(values) - less]


# Each rule gives, of a node, what may stand in its place.

SWAPS = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,), ast.FloorDiv: (ast.Div,), ast.Mod: (ast.FloorDiv,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip
NAMES = {
    "sum": ("mean", "prod"), "mean": ("sum",), "min": ("max",), "max": ("min",), "exp": ("expm1", "square"),
    "log": ("log2", "log1p"), "log2": ("log",), "sin": ("cos",), "acos": ("asin",), "softplus": ("relu",),
    "randn": ("rand",), "randn_like": ("rand_like",), "square": ("abs",), "sqrt": ("square",), "var": ("std",),
    "floor": ("ceil",), "round": ("int",), "cumsum": ("array",), "int": ("float",), "unique": ("array",),
    "float": ("np.int8", "np.float16"), "zeros_like": ("ones_like",), "zeros": ("ones",), "logsumexp": ("sum",),
    "isfinite": ("isnan",), "outer": ("add.outer",), "permutation": ("array",),
}  # fmt: skip


def _expr(text: str, **parts: ast.AST) -> ast.AST:
    """The expression with names replaced by nodes."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return parts.get(node.id, node)

    return Fill().visit(ast.parse(text, mode="eval").body)


def _operators(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp):
        for other in SWAPS.get(type(node.op), ()):
            yield ast.BinOp(node.left, other(), node.right)
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield ast.BinOp(node.right, node.op, node.left)
        yield node.left
        yield node.right
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.Compare):
        for other in SWAPS.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators)
    if isinstance(node, ast.BoolOp):
        yield from node.values
    if isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)


def _constants(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        for value in (node.value + 1, node.value - 1, 2 * node.value, -node.value):
            yield ast.Constant(value)


def _calls(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute):
        for other in NAMES.get(node.func.attr, ()):
            yield ast.Call(ast.Attribute(node.func.value, other, ast.Load()), node.args, node.keywords)
        module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "np", "math", "rng")
        if not module:
            yield node.func.value  # the method left out
            if node.args:
                yield ast.Call(node.func, [], node.keywords)
    elif isinstance(node.func, ast.Name):
        for other in NAMES.get(node.func.id, ()):
            yield ast.Call(ast.parse(other, mode="eval").body, node.args, node.keywords)
    if node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]  # the function left out
    if len(node.args) == 2:
        yield ast.Call(node.func, node.args[::-1], node.keywords)
    for i in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])


def _values(node: ast.AST, kinds: set[str], sign: str) -> Iterator[ast.AST]:
    """Absolute, limited, rough and detached values of a name or of a whole term.

    Args:
        kinds: what the term was in a run of the model solution.
        sign: "+" where it cannot be negative, "1" where it lies between 0 and 1, else empty.
    """
    texts = []
    if kinds and kinds <= {"tensor", "array", "float"}:
        texts += [] if sign else ["abs(x)"]
        texts += [] if sign == "1" else ["_clamped(x)"]
        texts += ["_rough(x)"]
    if "tensor" in kinds:
        texts += ["x.detach()"]
    if "whole" in kinds:
        texts += ["_rough(x)"]
    for text in texts:
        yield _expr(text, x=node)


def _written_in(node: ast.AST, kinds: set[str]) -> Iterator[ast.AST]:
    """Whole numbers that an expression was in a run of the model solution, such as a size, in its place."""
    for number in sorted(int(kind[1:]) for kind in kinds if kind.startswith("="))[:2]:
        yield ast.Constant(number)


def _tuples(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield ast.Tuple([node.elts[1], node.elts[0], *node.elts[2:]], ast.Load())
        yield ast.Tuple([node.elts[0], *node.elts[:-1]], ast.Load())
        for i in range(len(node.elts)):
            left = list(node.elts)
            left[i] = _expr("0 * x", x=left[i])
            yield ast.Tuple(left, ast.Load())


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return | ast.Expr | ast.AugAssign | ast.Continue | ast.Assign):
        yield ast.Pass()
    if isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    if isinstance(node, ast.AugAssign):
        yield ast.Assign([node.target], node.value)
        for other in SWAPS.get(type(node.op), ()):
            yield ast.AugAssign(node.target, other(), node.value)
    if isinstance(node, ast.For):
        for start, less in ((1, 0), (0, 1)):
            over = _expr(f"_cut(x, {start}, {less})", x=node.iter)
            yield ast.For(node.target, over, node.body, node.orelse)


RULES = (_operators, _constants, _calls, _tuples, _statements)


def mutants(task: "Task", source: str) -> dict[str, str]:
    """Difference → source, for each change of one place; the docstring and the signature stay."""
    tree = ast.parse(source)
    skip = {id(x) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for x in ast.walk(f.args)}
    skip |= {id(each) for f in ast.walk(tree) if isinstance(f, ast.Expr) and _docstring(f) for each in ast.walk(f)}
    skip |= {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    skip |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and _module(n.value)}
    nodes = [node for node in ast.walk(tree) if id(node) not in skip]
    seen, signs, others = _kinds(task, tree, nodes), _signs(task, tree), _other_names(tree)
    original, found = ast.unparse(tree), {}
    for node in nodes:
        made = [each for rule in RULES for each in rule(node)] + list(_exchanged(node, others))
        kinds = seen.get(id(node), set())
        if isinstance(node, ast.Name | ast.BinOp):
            made += _values(node, kinds, _sign(node, signs))
        made += _written_in(node, kinds)
        for new in made:
            text = _with(tree, node, new)
            if text and text != original:
                found.setdefault(difference(original, text), text)
    return found


def _kinds(task: "Task", tree: ast.AST, nodes: list[ast.AST]) -> dict[int, set[str]]:
    """What names and terms are while the check runs; those of which only the shape is read are left out."""
    looked = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in SHAPES}
    looked |= {id(n.args[0]) for n in ast.walk(tree) if isinstance(n, ast.Call) and _called(n) in LIKE and n.args}
    wanted = {
        id(n): n
        for n in nodes
        if isinstance(n, ast.Name | ast.BinOp | ast.Call | ast.Subscript)
        and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
    }
    found: dict[int, set[str]] = {key: set() for key in wanted}

    def note(key: int, value: Any) -> Any:
        found[key].add(_kind(value))
        return value

    class Wrap(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            key = id(node)
            node = copy.copy(node)
            for name, value in ast.iter_fields(node):
                setattr(node, name, list(value) if isinstance(value, list) else value)
            node = super().generic_visit(node)
            return ast.Call(ast.Name("_note", ast.Load()), [ast.Constant(key), node], []) if key in wanted else node

    text = ast.unparse(ast.fix_missing_locations(Wrap().visit(tree)))
    try:
        task.check(*functions(task.before, text, task.names, note))
    except Exception:
        return {}
    return {key: kinds for key, kinds in found.items() if key not in looked}


SHAPES, LIKE = ("shape", "dtype", "device", "ndim"), ("len", "randn_like", "zeros_like", "empty_like", "rand_like")


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
        if not tensor.is_floating_point():
            return "whole" if isinstance(value, np.ndarray) else "other"
        if bool(((tensor == 0) | (tensor == 1)).all()) and tensor.numel() > 1:
            return "flags"
        return "tensor" if isinstance(value, torch.Tensor) else "array"
    if type(value) is int:
        return f"={value}"
    return "float" if isinstance(value, float) else "other"


def _signs(task: "Task", tree: ast.AST) -> dict[str, str]:
    """Names that cannot be negative: arguments that the data file says so of, and what is computed from them."""
    signs = dict(listed(task).get("never negative", {}))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            left, right = node.targets[0], node.value
            pairs = zip(left.elts, right.elts) if isinstance(left, ast.Tuple) and isinstance(right, ast.Tuple) else ()
            for name, value in pairs or ((left, right),):
                if isinstance(name, ast.Name) and (sign := _sign(value, signs)):
                    signs[name.id] = sign
    return signs


def _sign(node: ast.AST, signs: dict[str, str]) -> str:
    """Whether an expression is never negative ("+"), or between 0 and 1 ("1"), by its form."""
    if isinstance(node, ast.Name):
        return signs.get(node.id, "")
    if isinstance(node, ast.Constant):
        return "+" if isinstance(node.value, int | float) and node.value >= 0 else ""
    if isinstance(node, ast.Attribute):
        return "+" if node.attr in ("pi", "e") else ""
    if isinstance(node, ast.BinOp):
        left, right = _sign(node.left, signs), _sign(node.right, signs)
        if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and node.right.value % 2 == 0:
            return "+"
        if isinstance(node.op, ast.Sub) and right == "1" and ast.unparse(node.left) == "1":
            return "1"
        if left and right and isinstance(node.op, ast.Add | ast.Mult | ast.Div | ast.Pow):
            return "1" if left == right == "1" and isinstance(node.op, ast.Mult) else "+"
    if isinstance(node, ast.Call):
        if _called(node) in ("exp", "square", "sqrt", "norm", "abs", "softplus", "len", "numel", "acos"):
            return "+"
        if _called(node) in ("sum", "mean", "cumsum", "array", "outer", "flatten"):
            over = node.args[0] if _module(getattr(node.func, "value", None)) else getattr(node.func, "value", None)
            return _sign(over, signs) if over is not None else ""
    return ""


def _other_names(tree: ast.AST) -> dict[str, str]:
    """Each argument → the next one of its function."""
    found = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = [each.arg for each in function.args.args]
            found |= {a: b for a, b in zip(names, names[1:] + names[:1], strict=True) if a != b}
    return found


def _exchanged(node: ast.AST, others: dict[str, str]) -> Iterator[ast.AST]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in others:
        yield ast.Name(others[node.id], ast.Load())


def _docstring(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "np", "math", "rng")


def _with(tree: ast.AST, node: ast.AST, new: ast.AST) -> str:
    """The text of the tree with one node exchanged, empty if it is no Python."""
    holder = {"done": False}

    class Put(ast.NodeTransformer):
        def visit(self, at: ast.AST) -> ast.AST:
            if at is node:
                holder["done"] = True
                return new
            for name, value in ast.iter_fields(at):
                if isinstance(value, list):
                    changed = [self.visit(each) if isinstance(each, ast.AST) else each for each in value]
                    if any(a is not b for a, b in zip(value, changed, strict=True)):
                        at = copy.copy(at)
                        setattr(at, name, changed)
                elif isinstance(value, ast.AST) and (changed := self.visit(value)) is not value:
                    at = copy.copy(at)
                    setattr(at, name, changed)
            return at

    changed = Put().visit(tree)
    text = ast.unparse(ast.fix_missing_locations(changed))
    try:
        compile(text, "<mutant>", "exec")
    except SyntaxError:
        return ""
    return text if holder["done"] else ""


def difference(before: str, after: str) -> str:
    """The lines that differ, "old → new", with the number of the first."""
    old, new = before.splitlines(), after.splitlines()
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    old, new = old[start:], new[start:]
    while old and new and old[-1] == new[-1]:
        old.pop(), new.pop()
    return f"{start + 1}: {'; '.join(x.strip() for x in old)} → {'; '.join(x.strip() for x in new)}"


@cache
def all_mutants(task: Task) -> dict[str, str]:
    """Difference → source of all mutants of an exercise that differ, at least `AT_LEAST`."""
    original = ast.unparse(ast.parse(task.source))
    found = {name: text for name, text in mutants(task, task.source).items() if text != original}
    chosen = random.Random(0)
    while len(found) < AT_LEAST:
        for _, text in mutants(task, found[chosen.choice(sorted(found))]).items():
            if text != original:
                found.setdefault(difference(original, text), text)
    return found


def sample(task: Task, count: int) -> dict[str, str]:
    """A fixed part of them: the first by a hash of their difference."""
    found = all_mutants(task)
    order = sorted(found, key=lambda name: hashlib.blake2b(name.encode()).digest())
    return {name: found[name] for name in order[:count]}


def listed(task: Task) -> dict[str, Any]:
    """What the data file says of an exercise.

    Its keys: "never negative" (argument → "+" or "1", see `_sign`), "equivalent" (part of a difference → why such a
    mutant is a right answer too).
    """
    return json.loads(EQUIVALENT.read_text()).get(task.id, {}) if EQUIVALENT.is_file() else {}


def passes(task: Task, source: str) -> bool:
    """Whether the check finds nothing to say against it."""
    try:
        solution = task.functions(source)
    except Exception:
        return False
    torch.manual_seed(0)
    np.random.seed(0)
    with np.errstate(all="ignore"):
        return all(each.passed for each in task.check(*solution))


def survivors(task: Task, chosen: dict[str, str] | None = None) -> list[str]:
    """Differences of the mutants that pass and are not known to be equivalent."""
    known = listed(task).get("equivalent", {})
    wrong = {n: t for n, t in (chosen or all_mutants(task)).items() if not any(part in n for part in known)}
    return [name for name, text in wrong.items() if passes(task, text)]


if __name__ == "__main__":
    import time
    import warnings

    warnings.simplefilter("ignore")
    for each in tasks():
        if len(sys.argv) == 1 or any(word in each.id for word in sys.argv[1:]):
            start = time.monotonic()
            left = survivors(each)
            print(f"{each.id}: {len(all_mutants(each))} mutants, {len(left)} pass, {time.monotonic() - start:.1f} s")
            for name in left:
                print("    ", name, flush=True)
