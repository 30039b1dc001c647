"""What the scripts of this folder share: their options, a place for what they build, and one run of
`faregate bench` on a peer. Needs Linux and Python 3.11."""

import argparse
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NODE = ROOT / "scenarios" / "node"
CHAIN_ID = "84532"
# Signs and pays on the chain of a measurement. It belongs to a mnemonic that everybody knows.
SIGNER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
# Who is paid there.
PAY_TO = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
# Words of `faregate bench` for each kind of work.
WORKS = {
    "verify": ["verify"],
    "settle": ["settle"],
    "paid": ["gate"],
    "challenge": ["gate", "--challenges"],
    "free": ["gate", "--free"],
}
# Flags of `faregate bench` that are handed on as they are.
HANDED_ON = ["in-flight", "seconds", "warm-up", "block-time", "rpc-latency", "block-gas-limit"]
HANDED_ON += ["payments", "payers", "cores", "signers"]


def parser(description, works):
    form = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=description, formatter_class=form)
    # The empty list is there because argparse compares the default with the choices.
    kinds = ", ".join(works)
    options.add_argument("work", nargs="*", choices=[*works, []], metavar="WORK", help=kinds)
    options.add_argument("--binary", default=str(ROOT / "target/release/faregate"))
    options.add_argument("--build", action="store_true", help="build or install, and measure nothing")
    for name in HANDED_ON:
        options.add_argument(f"--{name}", metavar="X", help="as for faregate bench")
    return options


def handed_on(options):
    words = []
    for name in HANDED_ON:
        value = getattr(options, name.replace("-", "_"))
        if value is not None:
            words += [f"--{name}", value]
    return words


def cache():
    """Where peers are built: outside of the repository, and kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = pathlib.Path(base) / "faregate-bench"
    place.mkdir(parents=True, exist_ok=True)
    return place


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(command, **more):
    """A step of a build: what it says goes to stderr, and if it fails that is the end."""
    print("+", shlex.join(map(str, command)), file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=sys.stderr, **more).returncode != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {shlex.join(map(str, command))} failed")


def node_packages():
    """The official packages, as the scenarios pin them."""
    if not (NODE / "node_modules").is_dir():
        run(["npm", "ci"], cwd=NODE)


def bench(options, work, more=(), command=None):
    """The figures of one run, or why there are none. `command` is a line for a shell, which it is
    to replace by what is measured (`exec`), so that the process is the same."""
    words = [options.binary, "bench", *WORKS[work], "--json", *handed_on(options), *more]
    if command is not None:
        words += ["--", "sh", "-c", command]
    ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        sys.exit(f"{shlex.join(words)}\nmeasured nothing")


def tell(peer, version, figures):
    print(json.dumps({"peer": peer, "version": version, **figures}), flush=True)


def facilitator(peer, version, options, command):
    """Measures a facilitator on a port of its own; `command` takes the port."""
    for work in options.work or ["verify", "settle"]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        tell(peer, version, bench(options, work, ["--url", url], command(port)))
