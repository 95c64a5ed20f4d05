"""The roles that a head may have: each module here that declares a `ROLE` adds one.

docs/roles.md has the table: definitions, cuts, sources, and what each score can miss.
"""

from acdc.interpret.roles.role import Role, Scores
from acdc.registry import Registry, declared

__all__ = ["ROLES", "Role", "Scores"]

ROLES: Registry[Role] = Registry.of("role", declared(__name__, "ROLE"))
