"""Solvers of the explanation problem: one signature, one file each, all returning a `Solution` with certificates."""

from __future__ import annotations

from caso.registry import instances
from caso.solvers.at_sparsity import Sparsity, solve_at_sparsity
from caso.solvers.solution import Solution
from caso.solvers.solver import Options, Solver

__all__ = ["DEFAULTS", "SOLVERS", "Options", "Solution", "Solver", "Sparsity", "solve_at_sparsity"]

SOLVERS: dict[str, Solver] = instances(__name__, __path__, Solver)
"""Every solver by the name it has in configs and results."""

DEFAULTS = {1: "closed_form", 2: "krylov"}
"""The solver of each order that is taken where none is asked for; along a path and at a sparsity, the only one."""
