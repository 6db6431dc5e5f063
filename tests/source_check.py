"""The frame of the tests that read our sources: each first proves itself on planted violations, then reads the tree."""
import pathlib
import sys
import tempfile


def check_self(check_file, culprits, innocents):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**culprits, **innocents}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for name in culprits:
            assert check_file(root / name, root), f"{name} should have been caught"
        for name in innocents:
            assert not check_file(root / name, root), check_file(root / name, root)


def main(check_file, check_tree, culprits, innocents, good):
    """Exit status. An argument names another tree to read."""
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    if len(sys.argv) == 1:
        check_self(check_file, culprits, innocents)
    problems, num_files = check_tree(root)
    print("\n".join(problems) if problems else f"{num_files} {good}")
    return 1 if problems or num_files < 20 else 0
