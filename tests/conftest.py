"""Shape annotations are executed in the tests: every function of `acdc` is checked against its signature."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side

from jaxtyping import install_import_hook

install_import_hook("acdc", "beartype.beartype")
