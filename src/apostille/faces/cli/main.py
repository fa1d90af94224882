"""The commands, their options and their help. What they do is in the module named after each."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from apostille.errors import ApostilleError
from apostille.faces import codes
from apostille.faces.cli.choices import ScanForm, ScanLevel
from apostille.faces.cli.terminal import Terminal, plain, visible

_GLOBAL_FLAGS = {"--json", "--quiet", "-q"}
_GLOBAL_VALUE = "--store"
_RUN = "run"
_RUN_VALUES = {"--agent", "--principal", "--upstream"}  # options of ``run`` that take the next word
_INTERRUPTED = 130

app = typer.Typer(
    name="apostille",
    help="The proof layer for autonomous AI agents: what an agent said, bound, logged, and verifiable offline.",
    epilog="--store, --json and --quiet may stand anywhere before a lone --.   Exit codes: 0 verified or done, 1 not verified, "
    "2 usage, 3 trust anchor not confirmed, 4 incomplete, 5 verified and erased by policy, 65 malformed, 69 unavailable, "
    "70 our own fault, 78 configuration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
log_app = typer.Typer(help="The log itself: size, proofs, receipts, export, fsck.", no_args_is_help=True)
trust_app = typer.Typer(help="Which logs and witnesses this user believes.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys that the root certifies.", no_args_is_help=True)
app.add_typer(log_app, name="log")
app.add_typer(keys_app, name="keys")
app.add_typer(trust_app, name="trust")
_terminal = Terminal()


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"apostille {version('apostille')}\n")
        raise typer.Exit


@app.callback()
def _options(
    store: Annotated[str | None, typer.Option(help="Folder of the store; else $APOSTILLE_STORE, else ./.apostille.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    _terminal.store, _terminal.as_json, _terminal.is_quiet = store, json, quiet
    _terminal.is_stdout_taken = False


@app.command()
def init(
    origin: Annotated[
        str, typer.Option(help="Beginning of the log's name: host and path without a scheme. A random part follows.")
    ] = "apostille.invalid",
) -> None:
    """Make a store: root identity, keys, log; and pin the log for this user."""
    from apostille.faces.cli.store import init as make

    raise typer.Exit(make(_terminal, origin))


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.", show_default=False)],
    agent: Annotated[str | None, typer.Option(help="Name of the agent; else the program's name.")] = None,
    principal: Annotated[str | None, typer.Option(help="On whose behalf it acts: a claim of yours.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Base URL of the model API; else $OPENAI_BASE_URL, else OpenAI's.")] = None,
) -> None:
    """Run any program with its model traffic going through a gateway that attests every answer before it leaves.

    The program finds the gateway by OPENAI_BASE_URL; nothing else changes. At the end the run is closed and verified. The exit
    status is the program's own, or the verdict's where the program ended with 0. Stdout is the program's alone: with --json the
    document is the last line of stderr, and nothing else of ours is printed there.
    """
    from apostille.faces.cli.run import run_program

    raise typer.Exit(run_program(_terminal, command, agent=agent, principal=principal, upstream=upstream))


@app.command()
def serve(
    upstream: Annotated[str | None, typer.Option(help="Base URL of the model API; else from apostille.toml.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; else from apostille.toml, else 127.0.0.1:8464.")] = None,
    add_client: Annotated[
        str | None, typer.Option(help="Make a key for a client of this agent name, print it once, and end.")
    ] = None,
) -> None:
    """Serve the gateway, receipts, health and readiness until Ctrl-C or SIGTERM; starts a keeper where none is at work."""
    from apostille.faces.cli.serve import add_client as make_client
    from apostille.faces.cli.serve import serve as start

    if add_client is not None:
        raise typer.Exit(make_client(_terminal, add_client))
    raise typer.Exit(start(_terminal, upstream=upstream, listen=listen))


@app.command()
def keeper(
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Ask the keeper at work to hand the store over; its clients come along.")
    ] = False,
    token_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Keep the store in a process of its own, until Ctrl-C or SIGTERM: clients reach it by its socket, and see no key.

    serve, run, attest, erase and Python programs use a keeper that is at work on their store. More: docs/manual/keeper.md
    """
    from apostille.faces.cli.keeper import keeper as keep

    raise typer.Exit(keep(_terminal, is_take_over=take_over, token_fd=token_fd))


@app.command()
def attest(
    files: Annotated[list[str] | None, typer.Argument(help="Files, or - for stdin (the default).")] = None,
    media_type: Annotated[str | None, typer.Option(help="Media type; else by the file's name.")] = None,
    agent: Annotated[str, typer.Option(help="Who says it.")] = "command-line",
    principal: Annotated[str | None, typer.Option(help="On whose behalf: a claim of yours.")] = None,
    profile: Annotated[
        str, typer.Option(help="Canonicalizer profile: safe, strict (look-alikes in one form) or report.")
    ] = "safe",
    salted: Annotated[
        bool, typer.Option("--salted", help="Hide the content's digest behind a salt; the receipt then holds the salt.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what is written; else beside each file.")] = None,
) -> None:
    """Attest files or stdin: NAME.receipt.json for the recipient, NAME.sigstore.json and NAME.pub.pem for foreign tools."""
    from apostille.faces.cli.attest import attest_files

    code = attest_files(
        _terminal,
        files or ["-"],
        media_type=media_type,
        agent=agent,
        principal=principal,
        profile=profile,
        is_salted=salted,
        out=out,
    )
    raise typer.Exit(code)


@app.command()
def verify(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Receipts, run ids, or folders of stores; else the store of this call.")
    ] = None,
    artifact: Annotated[str | None, typer.Option(help="The output itself; else NAME beside NAME.receipt.json.")] = None,
    log: Annotated[str | None, typer.Option(help="Compare with the log as it is now: a store or published tiles.")] = None,
    trust: Annotated[Path | None, typer.Option(help="A trust file instead of this user's known_logs.")] = None,
) -> None:
    """Verify a receipt, a run, or a whole store, offline."""
    from apostille.faces.cli.verify import verify_targets

    wanted = targets or [str(_terminal.folder.path)]
    raise typer.Exit(verify_targets(_terminal, wanted, artifact=artifact, log=log, trust=trust))


@app.command()
def audit(
    store: Annotated[
        Path | None, typer.Argument(help="Folder of a store; else the store of this call.", show_default=False)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what is new.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two audits with --follow.", min=0.1)] = 10.0,
    trust: Annotated[Path | None, typer.Option(help="Trust file; else this user's known_logs.")] = None,
) -> None:
    """Check all that is new in a store since the last audit on this machine; remember heads; raise the alarm.

    The tree must still begin with what was audited, and with the head that is remembered. Run it as another user, on another
    machine if you can, and with --full once a day.
    """
    from apostille.faces.cli.audit import audit as start

    raise typer.Exit(start(_terminal, store, is_full=full, is_following=follow, interval_seconds=interval, trust=trust))


@app.command()
def show(
    what: Annotated[str | None, typer.Argument(help="A run, a receipt id or a log index; else a list of runs.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Do not shorten long texts.")] = False,
) -> None:
    """Show what happened in a run, hidden characters made visible."""
    from apostille.faces.cli.show import show as show_item

    raise typer.Exit(show_item(_terminal, what, is_whole=whole))


@app.command()
def clean(
    files: Annotated[
        list[str] | None, typer.Argument(help="A file, or - for stdin (the default; ./- is a file); several with --in-place.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Canonicalizer profile: safe, strict (look-alikes in one form) or report.")
    ] = "safe",
    media_type: Annotated[
        str | None, typer.Option(help="text/plain, text/markdown, application/json, ..; else by the file's ending.")
    ] = None,
    findings: Annotated[Path | None, typer.Option(help="Write the findings as JSON to this file.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Rewrite the files that are not clean, atomically; exit 1 if any was rewritten.")
    ] = False,
    image_host: Annotated[
        list[str] | None, typer.Option(help="Markdown: a host that images may come from, or *.example.org; else none.")
    ] = None,
    link_host: Annotated[list[str] | None, typer.Option(help="Markdown: a host whose links keep their queries.")] = None,
    queries: Annotated[str, typer.Option(help="Markdown: keep the queries of links, or drop them.")] = "keep",
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE: an option of the text rules, such as sea_zwsp=keep; repeatable. See docs/manual/hidden-channels.md"
        ),
    ] = None,
) -> None:
    """Write canonical bytes to stdout and what was changed to stderr. Needs no store.

    In place, program text is never changed, and JSON only if the media type is given: its canonical form is one line. Markdown
    keeps comments and images unless the media type is given.
    """
    from apostille.faces.cli.clean import clean as clean_file
    from apostille.faces.cli.clean_files import clean_files

    names = files or ["-"]
    links = {"image_hosts": image_host or [], "link_hosts": link_host or [], "queries": queries}
    if in_place and ("-" in names or findings is not None):
        raise typer.BadParameter("--in-place rewrites files: it takes neither stdin nor --findings")
    if in_place:
        raise typer.Exit(clean_files(_terminal, names, profile=profile, media_type=media_type, links=links, options=option))
    if len(names) > 1:
        raise typer.BadParameter("one file at a time, or --in-place")
    code = clean_file(
        _terminal, names[0], profile=profile, media_type=media_type, findings_file=findings, links=links, options=option
    )
    raise typer.Exit(code)


@app.command()
def scan(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, or - for stdin (./- is a file); else this folder.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Only files that match; a path or any name in it. Repeatable.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files or folders that match. Repeatable.")] = None,
    media_type: Annotated[
        str | None, typer.Option(help="text/plain, text/markdown, text/x-code, application/json; else by each file's ending.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Profile whose rules are applied; nothing is changed.")] = "safe",
    form: Annotated[ScanForm, typer.Option("--format", help="How to print it; --json is --format json.")] = ScanForm.HUMAN,
    output: Annotated[Path | None, typer.Option(help="Write the report to this file instead of stdout.")] = None,
    fail_on: Annotated[
        ScanLevel, typer.Option("--fail-on", help="Lowest level that makes the exit code 1; people are shown no lower one.")
    ] = ScanLevel.WARNING,
) -> None:
    """Find hidden characters in files, folders or stdin. Changes nothing, needs no store.

    Each finding is PATH:LINE:COLUMN: CODE LEVEL: U+XXXX -> what `apostille clean` would make of it. Columns count characters,
    from 1. Program text is only reported on; JSON is parsed, so that escapes count too. .git folders, links and binary files are
    left out, and counted. Behind bytes that are not UTF-8 nothing is looked at. Exit code 1: something was found; 2: no such
    path; 69: a file can't be read (the others still are).
    """
    from apostille.faces.cli.scan import scan as look

    code = look(
        _terminal,
        paths or ["."],
        include=include or [],
        exclude=exclude or [],
        media_type=media_type,
        profile=profile,
        form=form.value,
        output=output,
        fail_on=fail_on.value,
    )
    raise typer.Exit(code)


@app.command()
def erase(
    run: Annotated[str | None, typer.Option("--run", help="Erase all of a closed run.")] = None,
    index: Annotated[int | None, typer.Option(help="Erase one leaf, or some of its openings.", min=0)] = None,
    opening: Annotated[list[str] | None, typer.Option(help="With --index: raw, canonical, attributes, ..; else all.")] = None,
    method: Annotated[
        str | None, typer.Option(help="key: destroy the unit's key (runs); row: overwrite the ciphertext (single leaves).")
    ] = None,
    reason: Annotated[str, typer.Option(help="For people; it can be erased itself, so name nobody.")] = "unspecified",
    effective_at: Annotated[str | None, typer.Option(help="Destroy at this UTC time instead of now.")] = None,
    erasure_key: Annotated[Path | None, typer.Option(help="The erasure key; else keys/erasure.pem of the store.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Destroy content by a statement of the erasure key: statements and proofs stay, and say so from then on."""
    from apostille.faces.cli.erase import erase as destroy

    code = destroy(
        _terminal,
        run=run,
        index=index,
        names=opening or [],
        method=method,
        reason=reason,
        effective_at=effective_at,
        key_file=erasure_key,
        is_agreed=yes,
    )
    raise typer.Exit(code)


@app.command()
def backup(
    out: Annotated[Path, typer.Option(help="Folder to make, or a file that ends in .tar.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Copy the private keys too: whoever gets the copy can then sign as this log.")
    ] = False,
) -> None:
    """Copy the store as it is at one moment, beside a keeper at work: database, unit keys, settings, and a manifest."""
    from apostille.faces.cli.backup import backup as copy

    raise typer.Exit(copy(_terminal, out, with_keys=with_keys))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A backup: folder or .tar file.", show_default=False)],
    log: Annotated[Path | None, typer.Option(help="Compare with published heads too: a store or published tiles.")] = None,
    entries_from: Annotated[
        Path | None, typer.Option(help="Take the leaves that the backup lacks from another copy of the store, or an export.")
    ] = None,
) -> None:
    """Put a backup in place as the store of this call. It goes on only if it is not behind what was signed or remembered."""
    from apostille.faces.cli.backup import restore as put_back

    raise typer.Exit(put_back(_terminal, source, log=log, entries_from=entries_from))


@keys_app.command("certify-erasure")
def keys_certify_erasure(
    root_key: Annotated[Path, typer.Option(help="The root key, from where it is kept.")],
    erasure_key: Annotated[
        Path | None, typer.Option(help="The key to certify; else keys/erasure.pem, made if it is not there.")
    ] = None,
) -> None:
    """Let the root certify the key that signs erasures, in a store that was made without one."""
    from apostille.faces.cli.erase import certify_erasure_key

    raise typer.Exit(certify_erasure_key(_terminal, root_key, erasure_key))


@log_app.command("info")
def log_info() -> None:
    """Print what the log is and how far it has come."""
    from apostille.faces.cli.log import log_info as info

    raise typer.Exit(info(_terminal))


@log_app.command("proof")
def log_proof(
    index: Annotated[int | None, typer.Argument(help="Index of the leaf.", show_default=False)] = None,
    size: Annotated[int | None, typer.Option(help="Size of the signed checkpoint to prove to; else the newest.")] = None,
    since: Annotated[int | None, typer.Option(help="Prove that the log continues its first SINCE leaves.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; else stdout.")] = None,
) -> None:
    """Write the tlog-proof (C2SP) of a leaf, or with --since a consistency proof (the body of add-checkpoint)."""
    from apostille.faces.cli.log import log_proof as proof

    raise typer.Exit(proof(_terminal, index, out, size=size, since=since))


@log_app.command("fsck")
def log_fsck(
    fast: Annotated[bool, typer.Option("--fast", help="Leave the signatures of statements out.")] = False,
    rewrite_tiles: Annotated[
        bool,
        typer.Option("--rewrite-tiles", help="Write published tiles again that are missing or torn; nothing else is mended."),
    ] = False,
    trust: Annotated[Path | None, typer.Option(help="Trust file; else this user's known_logs.")] = None,
) -> None:
    """Derive everything again from the leaves, beside a keeper at work, and name exactly what is missing or differs."""
    from apostille.faces.cli.log import log_fsck as fsck

    raise typer.Exit(fsck(_terminal, is_fast=fast, is_rewriting=rewrite_tiles, trust=trust))


@log_app.command("receipt")
def log_receipt(
    what: Annotated[str, typer.Argument(help="A receipt id or a log index.")],
    out: Annotated[Path, typer.Option(help="File for the output's bytes; OUT.receipt.json is written beside it.")],
) -> None:
    """Write the receipt of an output, with the output, to hand on to its recipient."""
    from apostille.faces.cli.store import log_receipt as receipt

    raise typer.Exit(receipt(_terminal, what, out))


@log_app.command("export")
def log_export(out: Annotated[Path, typer.Option(help="Folder to write.")]) -> None:
    """Write the whole log for others: tiles, checkpoint, every statement, trusted_root.json. No content leaves."""
    from apostille.faces.cli.log_export import log_export as export

    raise typer.Exit(export(_terminal, out))


@trust_app.command("add")
def trust_add(what: Annotated[str, typer.Argument(help="A verifier key (name+hex+base64) or a trust file.")]) -> None:
    """Believe another log, or all that a trust file names."""
    from apostille.faces.cli.trust import trust_add as add

    raise typer.Exit(add(_terminal, what))


@trust_app.command("list")
def trust_list() -> None:
    """Print whom this user believes, and which heads are remembered."""
    from apostille.faces.cli.trust import trust_list as list_all

    raise typer.Exit(list_all(_terminal))


@trust_app.command("remove")
def trust_remove(origin: Annotated[str, typer.Argument(help="Name of the log.")]) -> None:
    """No longer believe a log."""
    from apostille.faces.cli.trust import trust_remove as remove

    raise typer.Exit(remove(_terminal, origin))


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Keep the demo's store and files in this folder.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Base URL of a real model API, instead of the scripted model.")] = None,
    model: Annotated[str, typer.Option(help="Model to ask, with a real model API.")] = "gpt-4o-mini",
) -> None:
    """Tell the whole story in a minute, offline: a turned agent, what it hid, and four attacks on the log."""
    from apostille.faces.cli.demo import demo as tell

    raise typer.Exit(tell(_terminal, out=out, upstream=upstream, model=model))


@app.command()
def attacks(
    attacker: Annotated[
        str | None, typer.Option("--class", help="Only one class: a (database), b (and log key), c (root).")
    ] = None,
) -> None:
    """Attack throw-away stores in every way that the threat model names, and show what each verdict rests on."""
    from apostille.faces.cli.demo.table import attack_table

    raise typer.Exit(attack_table(_terminal, attacker))


def hoist_global_options(words: list[str]) -> list[str]:
    """Bring --store, --json and --quiet to the front, wherever they stand before ``--`` or the command of ``run``.

    What belongs to the command of ``run`` stays with it, whether or not a ``--`` stands before it or somewhere in it.
    """
    front: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        is_value = rest[-1:] != [] and rest[-1] in _RUN_VALUES
        if word == "--" or (_RUN in rest[:1] and not word.startswith("-") and not is_value):
            break
        if word in _GLOBAL_FLAGS or word.startswith(_GLOBAL_VALUE + "="):
            front.append(word)
        elif word == _GLOBAL_VALUE and at + 1 < len(words):
            front += words[at : at + 2]
            at += 1
        else:
            rest.append(word)
        at += 1
    return front + rest + words[at:]


def main() -> None:
    """Run a command and leave with its exit code.

    An exception that nobody expected ends with 70: Python's own 1 would read as "altered".
    """
    # A reader that went away (``| head``) ends us quietly, as it does other tools.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    code = codes.INTERNAL
    try:
        _give_streams()
        code = _run(hoist_global_options(sys.argv[1:]))
        sys.stdout.flush()
    except OSError as error:  # what we print can't be written: nobody has seen the verdict, so none is given
        code = codes.UNAVAILABLE
        # Else Python would try to write the rest once more at its end, and fail with a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with contextlib.suppress(OSError):
            _terminal.complain(f"[bold red]error[/] (unavailable): the output can't be written: {plain(error.strerror)}")
    finally:
        sys.exit(code)


def _give_streams() -> None:
    """Stand in for streams that the caller has closed: a file that is opened later must not become our stdout."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # what the terminal can't show is escaped; it never ends a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(words: list[str]) -> int:
    try:
        result = app(words, standalone_mode=False)
    except ApostilleError as error:
        _report(error)
        return codes.exit_code(error)
    except SystemExit as error:  # shell completion ends so
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        _terminal.say("interrupted")
        return _INTERRUPTED
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except Exception as error:  # noqa: BLE001 - the last one who can tell a bug from a verdict
        usage = getattr(error, "exit_code", None)
        if usage is not None and hasattr(error, "show"):
            said = io.StringIO()
            error.show(file=said)
            sys.stderr.write(visible(said.getvalue()))  # it quotes words of the command line, which may be names of files
            return int(usage)
        if type(error).__name__ == "Abort":
            return _INTERRUPTED
        sys.stdout.flush()  # where stdout itself is what failed, this fails again, and ``main`` says so
        _report(error)
        if os.environ.get("APOSTILLE_DEBUG"):
            traceback.print_exc()
        return codes.INTERNAL
    return int(result or 0)


def _report(error: BaseException) -> None:
    value = codes.as_json(error)
    _terminal.document(value)
    _terminal.complain(f"[bold red]error[/] ({value['code']}): {plain(value['message'], limit=2000)}")
    if value["exit"] == codes.INTERNAL:
        _terminal.complain(f"  {plain(repr(error))}; set APOSTILLE_DEBUG=1 for the trace, and please report it")
