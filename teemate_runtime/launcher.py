"""Print the start script of teemate-runtime: `launcher.py DIRECTORY`, where the mate is installed.

The script names the base interpreter by its absolute path, with -I (no environment, no user packages) and -S (no site:
half of the interpreter's start), so it must say itself where this package is.
"""

import sys
from pathlib import Path

SHEBANG_MAX = 127  # BINPRM_BUF_SIZE of older kernels, less the end of line


def script(*, interpreter: Path, packages: Path, library: Path) -> str:
    shebang = f"#!{interpreter} -IS"
    if len(shebang) > SHEBANG_MAX or any(char.isspace() for char in str(interpreter)):
        raise SystemExit(f"the kernel cannot start a script by {interpreter}: shorten the path")
    return (
        f"{shebang}\n"
        "import sys\n"
        f"sys.path.append({str(packages)!r})\n"
        "from teemate_runtime.oci.main import main\n"
        f"main(sys.argv[1:], {str(library)!r})\n"
    )


def base_interpreter() -> Path:
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined]


if __name__ == "__main__":
    packages = Path(__file__).resolve().parent.parent
    sys.stdout.write(script(interpreter=base_interpreter(), packages=packages, library=Path(sys.argv[1]).absolute()))
