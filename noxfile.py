"""Sessions beside the default tests: ``pip install nox``, then ``nox -s oldest``."""

import nox

nox.options.sessions = ["newest"]
nox.options.default_venv_backend = "venv"


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def newest(session):
    """Run the tests with the newest versions of all dependencies."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def oldest(session):
    """Run the tests with the oldest versions that pyproject.toml declares."""
    # Without moabb and skada, which ask for newer versions.
    session.install(
        "-e", ".", "-r", "requirements/oldest.txt", "pytest", "pytest-xdist"
    )
    # What was to be dropped then is known by now.
    kinds = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
    lenient = [option for kind in kinds for option in ("-W", f"default::{kind}")]
    session.run("python", "-m", "pytest", *lenient, *session.posargs)


@nox.session(python="3.13")
def upcoming(session):
    """Run the tests with pre-releases, to see what will break."""
    session.install("--pre", "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)
