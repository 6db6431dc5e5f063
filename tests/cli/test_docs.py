"""docs/cli.md is what the program prints: tools/make_cli_docs.sh PROGRAM > docs/cli.md."""
import difflib
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
program = sys.argv[1]
printed = subprocess.run([root / "tools" / "make_cli_docs.sh", program], check=True, capture_output=True, text=True).stdout
kept = (root / "docs" / "cli.md").read_text(encoding="utf-8")
difference = list(difflib.unified_diff(kept.splitlines(), printed.splitlines(), "docs/cli.md", "the program", lineterm=""))
assert printed and not difference, "\n".join(difference)
