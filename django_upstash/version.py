"""The version of this package, in a module of its own for those that the package itself imports."""

__version__ = "0.1.0"
