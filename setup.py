"""Builds the compiled half of the house: one extension per engine/*.pyx, in one of three modes that cannot be mixed up.

    RISKBED_BUILD   flags                                             for
    release         -O3, portable                                     users, most tests, benchmarks
    checked         -O2 -DRISKBED_CHECKED                             planted bugs and extra assertions
    sanitize        checked, -O1 -g, address and undefined sanitizer  memory errors, signed overflow

Each mode has a build tree, build/<mode>, and a venv (Makefile). Extensions go to build/<mode>/lib, never into the source tree;
the venv's path holds the root of the checkout and that directory, and engine/__init__.py joins the two halves. So Python
files are edited in place, a changed .pyx is rebuilt by `make build` alone, and a tree in front of the path (a run from the
root, pytest, a spawned worker) shadows nothing. engine.records.BUILD says mode and digest; tests/conftest.py compares.

`python setup.py need` prints what this machine lacks, or nothing. Python 3.6 can read this file, to say that it is too old.
"""

import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PYTHON_MIN = (3, 11)
SETUPTOOLS_MIN = 77  # the first that reads `license` as an SPDX expression
MODES = ("release", "checked", "sanitize")
MODE = os.environ.get("RISKBED_BUILD", "release")
TREE = Path("build") / MODE

FLAGS = {
    "release": ["-O3", "-fno-tree-slp-vectorize", "-fno-inline-functions-called-once"],
    "checked": ["-O2", "-DRISKBED_CHECKED=1"],
    # CPython is built with -fwrapv, and so would we be: overflow would be defined, and not reported.
    "sanitize": ["-O1", "-g1", "-DRISKBED_CHECKED=1", "-fno-omit-frame-pointer", "-fno-wrapv", "-fsanitize=address,undefined",
                 "-fno-sanitize-recover=all"],
}  # fmt: skip
# What the engine calls inline is inline: left to gcc, the path of an order would be five calls (14 % of its instructions).
INLINE = {"release": [("CYTHON_INLINE", "inline __attribute__((always_inline))")], "checked": [], "sanitize": []}
# Cython emits helpers that a module may not use, and unsigned enums; gcc guesses that a stack filled in a loop may be empty.
WARNINGS = ["-Wall", "-Wno-unused-function", "-Wno-sign-compare", "-Wno-maybe-uninitialized"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
}


def sources(root=ROOT):
    """Return every source of the engine, sorted by name."""
    return sorted(path for path in (Path(root) / "engine").iterdir() if path.suffix in (".pyx", ".pxd", ".h"))


def digest(root=ROOT):
    """Return the blake2b-128 hex digest of the engine's sources: name, length and bytes of each, sorted by name."""
    state = hashlib.blake2b(digest_size=16)
    for path in sources(root):
        data = path.read_bytes()
        state.update(f"{path.name} {len(data)}\n".encode())
        state.update(data)
    return state.hexdigest()


def missing():
    """Return one line on what this machine lacks to build the engine, or None."""
    if sys.version_info < PYTHON_MIN:
        found = ".".join(map(str, sys.version_info[:3]))
        return f"riskbed needs Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or later, this is {found}; name one by `make PYTHON=...`"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"riskbed needs a C compiler, {compiler!r} is not there; install gcc or clang, or name one by CC=..."
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "riskbed needs the C headers of Python, Python.h is not there; install python3-dev or python3-devel"
    return None


def missing_setuptools():
    """Return one line when setuptools is absent or too old, or None."""
    remedy = "run `pip install --upgrade setuptools`, or `make`, which has a venv of its own"
    try:
        from setuptools import __version__ as found
    except ImportError:
        return f"riskbed needs setuptools {SETUPTOOLS_MIN} or later, none is there; {remedy}"
    if int(found.split(".")[0]) < SETUPTOOLS_MIN:
        return f"riskbed needs setuptools {SETUPTOOLS_MIN} or later, this is {found}; {remedy}"
    return None


def extensions():
    """Return the uncompiled extensions of this mode."""
    from setuptools import Extension

    modules = {"engine." + path.stem: path for path in sources() if path.suffix == ".pyx"}
    if MODE == "sanitize":
        modules["engine.canary"] = ROOT / "tests" / "canary.pyx"  # dies on purpose; no other build has it
    link = [flag for flag in FLAGS[MODE] if flag.startswith("-fsanitize")]
    made = []
    for name, path in modules.items():
        depends = ["setup.py", *(str(path.relative_to(ROOT)) for path in sources() if path.suffix == ".h")]
        if name == "engine.records":  # the one module that knows the digest is the one that is rebuilt with every change
            depends.append(str(TREE / "digest.h"))
        made.append(
            Extension(
                name,
                [str(path.relative_to(ROOT))],
                include_dirs=["engine", str(TREE)],
                define_macros=[("RISKBED_BUILD_MODE", f'"{MODE}"'), *INLINE[MODE]],
                extra_compile_args=FLAGS[MODE] + WARNINGS,
                extra_link_args=link,
                depends=depends,
            )
        )
    return made


def write_digest():
    """Write build/<mode>/digest.h when the digest has changed: its time is what makes records be built again."""
    path, text = TREE / "digest.h", f'#define RISKBED_BUILD_DIGEST "{digest()}"\n'
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def commands():
    """Return our build_ext: C files and objects in the tree of the mode, nothing in place, no extension without a source."""
    from setuptools.command.build_ext import build_ext

    class BuildEngine(build_ext):
        def finalize_options(self):
            super().finalize_options()
            self.inplace = False
            self.parallel = self.parallel or os.cpu_count() or 1

        def run(self):
            if self.editable_mode:  # for dependencies, metadata and the command; what compiles is `make build`
                return
            from Cython.Build import cythonize

            write_digest()
            compiled = cythonize(
                self.extensions, build_dir=str(TREE / "c"), compiler_directives=DIRECTIVES, nthreads=self.parallel
            )
            for extension, made in zip(self.extensions, compiled, strict=True):
                extension.sources = made.sources
            super().run()
            kept = {Path(path).name for path in self.get_outputs()}
            for path in (Path(self.build_lib) / "engine").glob("*.so"):
                if path.name not in kept:  # its source is gone
                    path.unlink()

        def build_extensions(self):
            # records last: it names the digest, so a build that stops half-way does not pass for one of these sources.
            everything = self.extensions
            for last in (False, True):
                self.extensions = [extension for extension in everything if (extension.name == "engine.records") == last]
                super().build_extensions()
            self.extensions = everything

    return {"build_ext": BuildEngine}


def main():
    problem = missing() or (None if sys.argv[1:] == ["need"] else missing_setuptools())
    if MODE not in MODES:
        problem = f"RISKBED_BUILD is {MODE!r}; it is one of {', '.join(MODES)}"
    if sys.argv[1:] == ["need"]:
        print(problem or "")
        return
    if problem:
        sys.stderr.write(problem + "\n")
        raise SystemExit(2)
    os.chdir(str(ROOT))
    from setuptools import setup

    # The objects and the wheel's copy of a mode lie in the tree of that mode too.
    setup(ext_modules=extensions(), cmdclass=commands(), options={"build": {"build_base": str(TREE)}})


if __name__ == "__main__":
    main()
