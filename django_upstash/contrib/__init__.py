"""Bridges to other projects. None is imported unless it is asked for."""
