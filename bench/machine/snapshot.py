"""The working tree as a commit that no branch has: what git tracks and what it would add, as the files are now."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.errors import RevisionError
from bench.files import owned_folder
from bench.machine.provenance import GitError, run_git

WORKING_TREE = "."  # how it is named as a revision
MOST_BYTES = 200 << 20  # of files that git does not track: more is data, which git would copy
GIT_LIMIT_S = 300.0  # a large checkout is read or written in one command
# equal trees on one commit are the same commit, whoever takes it and when
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"), ("DATE", "@0 +0000"))
}


def take_snapshot(repository: Path, head: str) -> str:
    """Return the SHA of a commit of the working tree, on top of `head`: of `head` itself where no file differs.

    Ignored files are left out. The user's index, branches and files stay as they are; git removes the commit's objects
    some weeks later, as those of any commit that nothing refers to. Raises RevisionError where the files cannot be
    read, or those that git does not track are too large.
    """
    _refuse_large_files(repository)
    with owned_folder("snapshot") as folder:
        index = folder / "index"
        variables = IDENTITY | {"GIT_INDEX_FILE": str(index)}

        def git(*words: str) -> str:
            return run_git(repository, *words, limit_s=GIT_LIMIT_S, variables=variables)

        try:
            users = Path(repository, run_git(repository, "rev-parse", "--git-path", "index"))
            if users.exists():  # it knows which files have not changed, and ignored ones that are tracked
                shutil.copy2(users, index)
            git("add", "--all", ".")
            tree = git("write-tree")
            if tree == git("rev-parse", f"{head}^{{tree}}"):
                return head
            return git("commit-tree", tree, "-p", head, "-m", "The working tree, for bench ab")
        except (GitError, OSError) as error:
            raise RevisionError(f"the working tree cannot be read whole: {error}") from None


def _refuse_large_files(repository: Path) -> None:
    """Raise RevisionError where files that git neither tracks nor ignores are so large that they are no code."""
    try:
        names = run_git(repository, "ls-files", "-z", "--others", "--exclude-standard", limit_s=GIT_LIMIT_S).split("\0")
    except GitError as error:
        raise RevisionError(str(error)) from None
    sizes = {name: path.lstat().st_size for name in names if (path := repository / name).is_file()}
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise RevisionError(
            f"the working tree has {sum(sizes.values()) >> 20} MiB that git neither tracks nor ignores "
            f"({largest} is the largest of it): name it in .git/info/exclude, which leaves it out"
        )
