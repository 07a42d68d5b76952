"""Checks of the arguments of networks."""

import numbers


def check_option(name, value, options):
    """Raise unless the value is one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {options}, got {value!r}.")


def check_sizes(**sizes):
    """Raise unless all of these are positive integers; bools are none."""
    for name, size in sizes.items():
        whole = isinstance(size, numbers.Integral) and not isinstance(size, bool)
        if not whole or size < 1:
            raise ValueError(f"{name} must be a positive integer, got {size!r}.")
