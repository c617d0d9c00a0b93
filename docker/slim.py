"""Makes the serving image's packages small: takes out what no command of windcast needs, and says what that freed.

    python slim.py VENV LAPACK_C

What goes: tests, headers, sources of compiled modules; symbols in shared libraries; the parts of packages below, each
with its reason; and the source of the packages' Python modules, of which the byte code stays (PEP 3147). windcast
itself stays as it is. tests/delivery/test_images.py imports all of windcast in the image, and trains, tests, forecasts
and draws there.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MEGABYTE = 1_000_000
FOR_TESTS = ("tests", "__pycache__")
SOURCES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".h", ".hpp", ".a", ".f90")
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH  # holds no time, so that two builds give the same bytes
PARTS = {
    "ONNX Runtime's C library for other programs: its Python module holds the same code itself": (
        "onnxruntime/capi/libonnxruntime.so.*",
    ),
    "ONNX Runtime's tools, which make and change networks, and what they alone need": (
        "onnxruntime/transformers",
        "onnxruntime/tools",
        "onnxruntime/quantization",
        "onnxruntime/datasets",
        "onnxruntime/backend",
        "google",
    ),
    "SciPy but for sparse matrices and special functions": (
        "scipy/cluster",
        "scipy/datasets",
        "scipy/differentiate",
        "scipy/fft",
        "scipy/fftpack",
        "scipy/integrate",
        "scipy/interpolate",
        "scipy/io",
        "scipy/linalg",
        "scipy/ndimage",
        "scipy/odr",
        "scipy/optimize",
        "scipy/signal",
        "scipy/spatial",
        "scipy/stats",
        "scipy/sparse/csgraph",
        "scipy/sparse/linalg",
        "scipy/special/cython_special.*",
    ),
    "NumPy's and SQLAlchemy's help for building and testing": (
        "numpy/_core/_simd.*",
        "numpy/distutils",
        "sqlalchemy/testing",
    ),
    "Pillow's formats and fonts that Matplotlib does not use: pictures are PNG, SVG and PDF": (
        *("PIL/_avif.*", "pillow.libs/libavif-*"),
        *("PIL/_webp.*", "pillow.libs/libwebp*", "pillow.libs/libsharpyuv-*"),
        *("PIL/_imagingcms.*", "pillow.libs/liblcms2-*"),
        *("PIL/_imagingft.*", "pillow.libs/libfreetype-*", "pillow.libs/libharfbuzz-*", "pillow.libs/libpng16-*"),
        "pillow.libs/libbrotli*",
    ),
    "Pygments, with which Rich colours source code": ("pygments",),
    "what Uvicorn needs for reloading and for web sockets": ("watchfiles", "websockets"),
    "Matplotlib's data for examples, and fonts that no chart asks for": (
        "matplotlib/mpl-data/sample_data",
        "matplotlib/mpl-data/fonts/afm",
        "matplotlib/mpl-data/fonts/pdfcorefonts",
        "matplotlib/mpl-data/fonts/ttf/DejaVuSerif*",
    ),
    "a second page of the API beside /docs, which the service does not show": (
        "fastapi_offline/static/redoc.standalone.js",
    ),
    "SQLAlchemy's object mapper, where the store speaks SQL, and dialects of other databases": (
        "sqlalchemy/orm",
        "sqlalchemy/dialects/mssql",
        "sqlalchemy/dialects/mysql",
        "sqlalchemy/dialects/oracle",
    ),
}


def main() -> None:
    venv, lapack = Path(sys.argv[1]), Path(sys.argv[2])
    (packages,) = venv.glob("lib/python3*/site-packages")
    before = size(packages)
    tests = [one for name in FOR_TESTS for one in packages.rglob(name) if one.is_dir()]
    report("tests", sum(map(remove, tests)))
    report("sources, headers and stubs", sum(remove(one) for one in packages.rglob("*") if one.suffix in SOURCES))
    for reason, patterns in PARTS.items():
        report(reason, sum(remove(one) for pattern in patterns for one in present(packages, pattern)))
    report("SciPy's OpenBLAS, but for a stand-in for one routine", stand_in(packages / "scipy.libs", lapack))
    report("symbols in shared libraries", sum(map(strip, libraries(packages))))
    report("Python sources beyond their byte code", sum(map(compiled, present(packages, "*"))))
    print(f"{before / MEGABYTE:.0f} MB before, {size(packages) / MEGABYTE:.0f} MB after")


def report(what: str, freed: int) -> None:
    print(f"{freed / MEGABYTE:7.1f} MB  {what}")


def present(packages: Path, pattern: str) -> list[Path]:
    """What the pattern names. Exits where it names nothing: a part that has moved would stay in the image unseen."""
    found = sorted(packages.glob(pattern))
    if not found:
        sys.exit(f"{packages / pattern}: is not there. A package has changed; correct PARTS in docker/slim.py.")
    return found


def libraries(packages: Path) -> list[Path]:
    return [one for one in sorted(packages.rglob("*.so*")) if one.is_file()]


def size(path: Path) -> int:
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else [path]
    return sum(one.lstat().st_size for one in files if not one.is_dir())


def remove(path: Path) -> int:
    """Bytes freed; none where an outer folder went before."""
    if not path.exists():
        return 0
    freed = size(path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return freed


def stand_in(folder: Path, source: Path) -> int:
    """Bytes freed by putting a library of the same name, compiled from the source, in place of OpenBLAS."""
    before = size(folder)
    (blas,) = folder.glob("libscipy_openblas*")
    for one in folder.iterdir():
        one.unlink()
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", f"-Wl,-soname,{blas.name}", "-o", blas, source], check=True)
    return before - size(folder)


def strip(library: Path) -> int:
    """Bytes freed by taking out symbols; none where the library would no longer load.

    strip breaks some of the libraries whose headers the maker of the wheel has rewritten.
    """
    before, trial = size(library), library.with_name(f"{library.name}.trial")
    subprocess.run(["strip", "--strip-unneeded", "-o", trial, library], check=True, capture_output=True)
    if not (loads(library) and loads(trial)):
        trial.unlink()
        return 0
    trial.replace(library)
    return before - size(library)


def loads(library: Path) -> bool:
    command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(library)]
    return subprocess.run(command, capture_output=True).returncode == 0


def compiled(package: Path) -> int:
    """Bytes freed by leaving byte code alone; windcast keeps its sources, which Alembic reads, beside it."""
    before = size(package)
    own = package.name == "windcast"
    if package.is_dir():
        fine = compileall.compile_dir(package, quiet=1, legacy=not own, invalidation_mode=UNCHECKED)
    else:
        fine = package.suffix != ".py" or compileall.compile_file(package, quiet=1, legacy=True)
    if not fine:
        sys.exit(f"{package}: has sources that do not compile.")
    if not own:
        for source in package.rglob("*.py") if package.is_dir() else [package]:
            if source.suffix == ".py":
                source.unlink()
    after = sum(map(size, package.parent.glob(f"{package.stem}.pyc"))) if package.suffix == ".py" else size(package)
    return before - after


if __name__ == "__main__":
    main()
