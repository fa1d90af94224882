"""The SARIF 2.1.0 document of a scan, for code hosts and editors.

One run; a rule for each code the canonicalizer can give; a result for each finding, with lines, columns (code points) and bytes.
Paths are relative to the folder in which the scan ran, percent-encoded, with forward slashes; a file outside it has an absolute
URI. SARIF has three levels: ``hidden`` and ``error`` are both ``error`` there, and the tag of the rule tells them apart.

Spec: SARIF 2.1.0 (OASIS, errata 01), sections 3.13, 3.14, 3.19, 3.27, 3.30.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from apostille.core.canon.findings import SEVERITIES
from apostille.errors import ApostilleError
from apostille.faces.cli.meanings import codes_in_use, level, meaning, what_became
from apostille.faces.cli.scan.look import Located, Look
from apostille.faces.cli.scan.report import STDIN_NAME, Scan, display_name
from apostille.faces.cli.terminal import visible

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"
_LEVELS = {"note": "note", "warning": "warning", "hidden": "error", "error": "error"}
_NO_SLASH = "/~"
_LINK = re.compile(r"[\[\]\\]")


def as_sarif(scan: Scan) -> dict[str, Any]:
    """Give the document."""
    rules = codes_in_use()
    numbers = {code: number for number, code in enumerate(rules)}
    unlisted = [look for look in scan.looks if look.unlisted]
    notices = [_notice("warning", look.name, look.notice) for look in scan.looks if look.notice]
    notices += [_notice("note", look.name, f"{look.unlisted} findings more are not listed") for look in unlisted]
    notices += [_notice("note", None, f"not looked at: {why} ({count})") for why, count in sorted(scan.skipped.items())]
    notices += [_failure(name, error) for name, error in scan.failed]
    run = {
        "tool": {
            "driver": {
                "name": "apostille",
                "version": version("apostille"),
                "semanticVersion": version("apostille"),
                "rules": [_rule(code) for code in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "newlineSequences": ["\n"],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder in which the scan ran."}}},
        "invocations": [
            {"executionSuccessful": not scan.failed, "exitCode": scan.exit_code, "toolExecutionNotifications": notices}
        ],
        "results": [_result(look, found, numbers) for look in scan.looks for found in look.listed],
        "properties": {"residueBits": scan.bits, "residue": scan.residue, "scanned": scan.scanned},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    text = {"text": meaning(code)}
    grade = level(SEVERITIES[code])
    return {
        "id": code,
        "shortDescription": text,
        "fullDescription": text,
        "help": {"text": f"{meaning(code)} apostille clean writes what the profile makes of it; more in docs/manual/scan.md."},
        "defaultConfiguration": {"level": _LEVELS[grade]},
        "properties": {"tags": ["security", grade]},
    }


def _result(look: Look, found: Located, numbers: dict[str, int]) -> dict[str, Any]:
    finding = found.finding
    # Brackets would begin a link in a message: those of a hidden text are escaped, and backslashes with them.
    told = _LINK.sub(lambda mark: "\\" + mark.group(), what_became(finding))
    text = f"{meaning(finding.code)} {told}"
    region = {
        "startLine": found.start.line,
        "startColumn": found.start.column,
        "endLine": found.end.line,
        "endColumn": found.end.column,
        "byteOffset": found.offset,
        "byteLength": found.length,
    }
    properties: dict[str, Any] = {"act": finding.act, "count": finding.count}
    if finding.pointer is not None:
        properties["pointer"] = visible(finding.pointer)
    return {
        "ruleId": finding.code,
        "ruleIndex": numbers[finding.code],
        "level": _LEVELS[found.level],
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(look.name), "region": region}}],
        "properties": properties,
    }


def _artifact(name: str) -> dict[str, Any]:
    """Give the place of a file as a URI; the bytes of its name, whatever they are, are percent-encoded."""
    if name == "-":
        return {"uri": STDIN_NAME, "description": {"text": "Standard input."}}
    path = os.path.relpath(name)
    if path == os.pardir or path.startswith(os.pardir + os.sep):
        return {"uri": "file://" + quote(os.fsencode(os.path.abspath(name)), safe=_NO_SLASH)}  # noqa: PTH100 - no links are resolved
    return {"uri": quote(os.fsencode(path), safe=_NO_SLASH), "uriBaseId": _ROOT}


def _notice(grade: str, name: str | None, text: str | None) -> dict[str, Any]:
    place = {} if name is None else {"locations": [{"physicalLocation": {"artifactLocation": _artifact(name)}}]}
    return {"level": grade, "message": {"text": visible(text or "")}, **place}


def _failure(name: str, error: ApostilleError) -> dict[str, Any]:
    return _notice("error", name, f"{visible(display_name(name))}: {error}")
