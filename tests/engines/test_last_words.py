"""What an engine says while it loads is passed on and its end kept, whatever becomes of the process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

from midb_ray.engines import last_words


def run(code: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A process that loads something; its output and the files of words that it names on stdout."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os, subprocess, sys\nfrom midb_ray.engines import last_words\n{textwrap.dedent(code)}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done, done.stdout.split()


def test_what_the_process_and_its_children_write_is_passed_on_and_kept() -> None:
    done, _ = run("""
        words = last_words.LastWords()
        print("from python")
        os.write(2, b"from a library\\r\\n\\x1b[31mred\\x1b[0m\\n")
        subprocess.run(["sh", "-c", "echo from a child >&2"])
        said = words.spoken()
        words.forget()
        print(said, words.path.exists(), sep=";")
    """)
    assert done.stdout.strip() == "from python / from a library / red / from a child;False"
    assert "from a child" in done.stderr
    assert "from a library" in done.stderr


def test_words_outlive_a_process_that_dies_at_once() -> None:
    done, (path,) = run("""
        words = last_words.LastWords()
        os.write(words._before[0], str(words.path).encode())
        os.write(2, b"CUDA error: device-side assert\\n")
        os.abort()
    """)
    assert done.returncode != 0
    deadline = time.monotonic() + 20
    while not last_words.read(Path(path)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert last_words.read(Path(path)) == "CUDA error: device-side assert"
    Path(path).unlink()


def test_a_child_that_lives_on_keeps_writing_and_its_words_stay_few() -> None:
    done, _ = run("""
        words = last_words.LastWords()
        child = subprocess.Popen(["sh", "-c", "read go; i=0; while [ $i -lt 20000 ]; do "
                                  "echo line $i of a chatty engine process >&2; i=$((i+1)); done"], stdin=subprocess.PIPE)
        words.close()
        print("quiet")
        child.communicate(b"go\\n")
        words._keeper.wait()
        print(words.path.stat().st_size < 200_000, last_words.read(words.path).endswith("line 19999 of a chatty engine process"))
        words.forget()
    """)
    assert done.stdout.split() == ["quiet", "True", "True"]
    assert done.stderr.count("of a chatty engine") == 20000


def test_long_words_are_cut_at_the_front(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("first\n" + "x" * 1000 + " the end\n\n")
    said = last_words.read(path)
    assert said.endswith("the end")
    assert said.startswith("…")
    assert len(said) == 401
    assert last_words.read(tmp_path / "on another node") == ""
