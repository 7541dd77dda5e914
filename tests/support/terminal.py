"""A terminal of any size and type, inside tmux: runs a full-screen program, types keys, and reads the screen."""

import os
import pathlib
import shlex
import subprocess

from support.waiting import wait_until


class Terminal:
    """Runs one command line in a shell; its output stays visible after its end. A context manager.

    `term` is the type that programs see in $TERM; `environment` is added to theirs.
    """

    def __init__(self, directory, command, columns=80, rows=24, term="tmux-256color", environment=None):
        self._socket = str(pathlib.Path(directory) / "tmux.sock")
        settings = pathlib.Path(directory) / "tmux.conf"
        settings.write_text(f"set -g default-terminal {term}\nset -g status off\nset -g remain-on-exit on\n"
                            "set -g remain-on-exit-format ''\n", encoding="utf-8")
        variables = {name: value for name, value in os.environ.items()
                     if name not in ("TMUX", "TERM", "NO_COLOR") and not name.startswith("LC_")}
        # tmux would look here for the terminal that it runs in, and there is none.
        variables |= {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"} | (environment or {})
        self._tmux("-u", "-f", str(settings), "new-session", "-d", "-x", str(columns), "-y", str(rows),
                   f"exec sh -c {shlex.quote(command)}", environment=variables)

    def _tmux(self, *arguments, environment=None):
        done = subprocess.run(["tmux", "-S", self._socket, *arguments], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def screen(self, styles=False):
        """The lines of the screen; with `styles` including escape sequences."""
        lines = self._tmux("capture-pane", "-p", *(["-e"] if styles else [])).split("\n")
        return lines[:-1] if lines[-1] == "" else lines

    def wait_screen(self, condition, seconds, what):
        """Waits until the text of the screen, as one string, fulfils the condition; returns the text."""
        last = ""

        def fulfilled():
            nonlocal last
            last = "\n".join(self.screen())
            return condition(last)

        wait_until(fulfilled, seconds, lambda: f"{what}; the screen is\n{last}", interval=0.05)
        return last

    def wait_text(self, text, seconds=10):
        return self.wait_screen(lambda screen: text in screen, seconds, f"{text!r} on the screen")

    def type(self, *keys):
        """Types keys, given by tmux's names or as letters."""
        self._tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def close(self):
        self._tmux("kill-server")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
