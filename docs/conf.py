"""Sphinx's settings; CONTRIBUTING.md has the command that builds the pages."""

import logging
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import sklearn_mdjpt

project = "sklearn_mdjpt"
author = copyright = "The sklearn_mdjpt developers"  # noqa: A001
version = release = sklearn_mdjpt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["columns.css"]
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_mdjpt"
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],
}
html_sidebars = {"whats_new": []}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Docstrings
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the class template lists them
# The docstrings of all public names are validated when they are rendered: all checks
# but an extended summary, See Also and Examples for everything.
numpydoc_validation_checks = {"all", "ES01", "SA01", "EX01"}
# Constants, and named tuples, whose fields are documented as attributes.
numpydoc_validation_exclude = {
    r"\.[A-Z_]+$",
    r"\.nn\.(EncoderOutput|NormStatistics|PairBatch|GroupBatch)\b",
}
# The constructor of EEGWindows is private; the ways to make one are methods.
numpydoc_validation_overrides = {"PR01": [r"^\s*Windows of EEG from one or several"]}
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
# numpydoc's own aliases lead to other projects' labels, and would stay visible as
# "python:str" where those cannot be looked up; these are names, or plain text.
numpydoc_xref_aliases = {
    **{
        name: name
        for name in ("None", "True", "False", "bool", "dict", "float", "int", "list",
                     "str", "tuple", "callable")
    },
    "array-like": "numpy.typing.ArrayLike",
    "iterable": "collections.abc.Iterable",
    "path-like": "os.PathLike",
    "scalar": "numpy.generic",
    "sequence": "collections.abc.Sequence",
}  # fmt: skip
default_role = "py:obj"

# A name of ours that leads nowhere is an error; other projects' names are links where
# their inventories can be read, and text where there is no network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!sklearn_mdjpt\b).*")]
intersphinx_timeout = 10
_INVENTORIES = {
    "python": "https://docs.python.org/3",
    "sklearn": "https://scikit-learn.org/stable",
    "numpy": "https://numpy.org/doc/stable",
    "scipy": "https://docs.scipy.org/doc/scipy",
    "pandas": "https://pandas.pydata.org/docs",
    "mne": "https://mne.tools/stable",
    "pyriemann": "https://pyriemann.readthedocs.io/en/latest",
    "skorch": "https://skorch.readthedocs.io/en/stable",
    "braindecode": "https://braindecode.org/stable",
    "torch": "https://docs.pytorch.org/docs/stable",
}
intersphinx_mapping = {name: (url, None) for name, url in _INVENTORIES.items()}


def _tell_only(record):
    """Let an inventory that cannot be fetched be no warning, hence no error."""
    if "failed to reach any of the inventories" in record.getMessage():
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True


logging.getLogger("sphinx.sphinx.ext.intersphinx").addFilter(_tell_only)

# Gallery: the examples in reading order; new ones come last until they are listed.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": ExplicitOrder(
        [
            "plot_quick_start.py",
            "plot_leave_one_subject_out.py",
            "plot_different_caps.py",
            "plot_preprocessing.py",
            "plot_few_shot.py",
            "plot_zero_shot.py",
            "plot_leakage.py",
            "plot_comparison.py",
            "plot_covariance_alignment.py",
            "plot_fine_tuning.py",
            "plot_released_checkpoint.py",
            "plot_inside_encoder.py",
            "plot_grid_search.py",
            "plot_calibration.py",
            "plot_streaming.py",
            "plot_trust.py",
            "plot_ratings.py",
            "*",
            "stream_lsl.py",
            "pretrain_on_many_processes.py",
        ]
    ),
    "doc_module": ("sklearn_mdjpt",),
    "backreferences_dir": "generated/backreferences",
    "abort_on_example_error": False,
    "parallel": 2,
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
}


# Each public name, and where the API pages have it.
_FULL_NAMES = {name: f"sklearn_mdjpt.{name}" for name in sklearn_mdjpt.__all__}
for _module in sklearn_mdjpt.__all__:
    for _name in getattr(getattr(sklearn_mdjpt, _module), "__all__", ()):
        _FULL_NAMES.setdefault(_name, f"sklearn_mdjpt.{_module}.{_name}")


def _link_short_name(app, env, node, contnode):
    """Lead `EEGWindows` or `few_shot` in a docstring to its page."""
    full = _FULL_NAMES.get(node.get("reftarget"))
    if node.get("refdomain") != "py" or full is None:
        return None
    return env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, "obj", full, node, contnode
    )


def _lead_to_pages(app, name, source):
    """Lead links to files outside of docs/, which GitHub shows, to their pages."""
    pages = {"../benchmarks/README.md": "benchmarks.md"}
    pages["../examples/README.txt"] = "auto_examples/index.rst"
    for path in (Path(app.srcdir).parent / "examples").glob("*.py"):
        pages[f"../examples/{path.name}"] = f"auto_examples/{path.stem}.rst"
    for path, page in pages.items():
        source[0] = source[0].replace(f"]({path})", f"]({page})")


def setup(app):
    """Connect the two."""
    app.connect("missing-reference", _link_short_name)
    app.connect("source-read", _lead_to_pages)
