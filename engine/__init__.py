"""How it is done fast: the compiled twin. Knows no files, no pytest, no pydantic; only engine/compile.py sees `specs`."""

# Compiled modules never lie beside their sources: build/<mode>/lib/engine holds those of one build mode, and the venv of that
# mode has it on its path (setup.py and Makefile). This joins that directory to the package; in a wheel there is nothing to join.
from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
