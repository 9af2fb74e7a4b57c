"""Settings of the site; `make docs` builds it.

It needs no network: names of other libraries are not linked, pictures and examples are
made here, with the packaged model.
"""

import os
import warnings

import skbert

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Some examples cut texts so that they run quickly; the warning would show a path of the
# machine that built the page.
warnings.filterwarnings("ignore", message=".*longer than max_length")

project = "skbert"
author = "The skbert developers"
project_copyright = author
version = release = skbert.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "templates", "examples/*.ipynb", "examples/*.py"]
templates_path = ["templates"]

default_role = "literal"  # what stands in `single backticks` in docstrings is code

# --- API pages: all is in the docstrings ----------------------------------------------

toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the types of numpydoc's sections say more
numpydoc_show_class_members = False  # the template shows them, each with its docstring
# Every parameter is documented, in the order of the signature; all that is documented
# exists.
numpydoc_validation_checks = {"GL08", "PR01", "PR02", "PR03", "PR10"}
# A name of ours that cannot be linked is an error; those of other libraries are not
# linked, as their inventories would have to be downloaded.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", rf"{library}\..*")
    for library in ("joblib", "optuna", "pandas", "sklearn", "skorch", "torch")
]

# --- Examples: run in the build, in the order of their numbers ------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "examples/using",
    "doc_module": ("skbert",),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

# --- Look -----------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "skbert"
html_static_path = ["static"]
html_css_files = ["skbert.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "pitfalls": [], "notebook": []}
