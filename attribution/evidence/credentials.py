"""C2PA content credentials: reads the signed manifest of a file and how trustworthy it is.

Offline: no manifest, revocation list or time stamp is fetched. The native library is imported by the functions that
need it, because few files have credentials.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attribution.evidence.finding import Finding, Kind, Trust, clean, pairs, unreadable
from attribution.evidence.products import known_generator
from attribution.evidence.vocabulary import is_ai, sentence, source_type

if TYPE_CHECKING:
    from c2pa import Context

# The description of every manifest store begins with this, in any container: a `jumd` box of the type c2pa.
MARKER = b"jumdc2pa"
_WHERE = "C2PA manifest"
_MAX_JSON = 4_000_000
_MAX_INGREDIENTS = 4
_MAX_VALUES = 2_000
# Keys that name a source type or a program, in actions, their parameters, and assertions with metadata. Vendors put
# prefixes before them, such as com.adobe. or Iptc4xmpExt:.
_SOURCE_TYPES = ("digitalsourcetype", "digitalsourcefiletype")
_PROGRAMS = ("softwareagent", "aisystemused", "details", "model", "modelname", "creatortool", "credit")
# Assertions that say how this image was made; others are about ingredients, training or thumbnails.
_ASSERTIONS = ("c2pa.actions", "stds.", "cawg.metadata", "c2pa.metadata", "c2pa.ai", "adobe.", "com.", "org.")
_OFFLINE = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "core": {"allowed_network_hosts": []},
}
_INGREDIENT = "The signer of the file vouches for this ingredient; the ingredient's own signer was not checked."
_CAVEATS = {
    Trust.VERIFIED: "The signature is intact, and its issuer is on the trust list {} of this installation.",
    Trust.UNTRUSTED_ISSUER: "The signature is intact, but its issuer is not on a trust list of this installation: "
    "anyone can make such a certificate.",
    Trust.TAMPERED: "File or manifest were changed after signing: the statements may not be about this image.",
    Trust.UNVERIFIED_SIGNATURE: "The signature could not be verified: anyone may have written this.",
}


@dataclass(frozen=True, slots=True)
class _Said:
    """A value of an assertion, and its place: the assertion or action, and the keys that lead to the value."""

    key: str
    place: str
    value: object


def read_trust_lists(path: Path | None) -> dict[str, str]:
    """PEM certificates by the name of their file: of the file, or of each `*.pem` in the folder; none for None."""
    if path is None:
        return {}
    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    return {file.name: file.read_text() for file in files}


def credential_findings(
    data: bytes, media_type: str, trust_lists: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """One finding for the active manifest, and one for each ingredient's manifest that says how it was made.

    `trust_lists` contains PEM certificates of trusted issuers by the name of the list, in the order in which they are
    tried; without any no issuer is trusted. The finding names the list that matched.
    """
    store: Mapping[str, Any] | None = None
    matched = None
    lists: Mapping[str, str | None] = trust_lists or {"": None}
    for name, certificates in lists.items():
        store = _read(data, media_type, certificates)
        if store is None:
            return ()
        if store.get("validation_state") == "Trusted":
            matched = name
            break
    return tuple(_findings(store, matched)) if store else (unreadable(Kind.C2PA, _WHERE),)


def _read(data: bytes, media_type: str, certificates: str | None) -> Mapping[str, Any] | None:
    """The manifest store; empty if it cannot be read, None if there is none."""
    from c2pa import C2paError, Reader

    try:
        reader = Reader(media_type, BytesIO(data), context=_context(certificates))
    except C2paError.ManifestNotFound:
        return None
    except C2paError:
        return {}
    with reader:
        text = reader.json()
    store: Mapping[str, Any] = json.loads(text) if len(text) <= _MAX_JSON else {}
    return store


@functools.lru_cache(maxsize=8)
def _context(certificates: str | None) -> "Context":
    from c2pa import Context

    return Context.from_dict(_OFFLINE | ({"trust": {"trust_anchors": certificates}} if certificates else {}))


def renew_contexts() -> None:
    """To be called after a fork: the native library refuses what another process made."""
    _context.cache_clear()


def _findings(store: Mapping[str, Any], matched: str | None) -> Iterator[Finding]:
    manifests = store["manifests"]
    active = store["active_manifest"]
    trust, failures = _trust(store)
    yield _finding(manifests[active], _WHERE, trust, failures, matched)
    others = [manifest for label, manifest in manifests.items() if label != active]
    trust = Trust.UNTRUSTED_ISSUER if trust is Trust.VERIFIED else trust
    for manifest in others[:_MAX_INGREDIENTS]:
        finding = _finding(manifest, "C2PA manifest of an ingredient", trust, "")
        if finding.source_type or finding.says_ai:
            yield replace(finding, caveat=_INGREDIENT if trust is Trust.UNTRUSTED_ISSUER else finding.caveat)


def _trust(store: Mapping[str, Any]) -> tuple[Trust, str]:
    """How trustworthy the active manifest is, and the codes of failed checks."""
    state = store.get("validation_state")
    results = store.get("validation_results", {})
    failed = [code["code"] for code in results.get("activeManifest", {}).get("failure", [])]
    for delta in results.get("ingredientDeltas", []):
        failed += [code["code"] for code in delta.get("validationDeltas", {}).get("failure", [])]
    if state == "Trusted":
        trust = Trust.VERIFIED
    elif state == "Valid":
        trust = Trust.UNTRUSTED_ISSUER
    elif any(code.endswith((".mismatch", ".missing")) for code in failed):
        trust = Trust.TAMPERED
    else:
        trust = Trust.UNVERIFIED_SIGNATURE
    return trust, ", ".join(dict.fromkeys(failed))


def _finding(
    manifest: Mapping[str, Any], where: str, trust: Trust, failures: str, matched: str | None = None
) -> Finding:
    said = list(_said(manifest))
    named = [(source_type(clean(each.value)), each.place) for each in said if each.key in _SOURCE_TYPES]
    types = [(code, place) for code, place in named if code]
    code, place = next((each for each in types if is_ai(each[0])), types[0] if types else (None, ""))
    agents = [(name, each.place) for each in said if each.key in _PROGRAMS and (name := _name(each.value))]
    known = [(name, place) for name, place in agents if known_generator([name]) is not None]
    claimers = manifest.get("claim_generator_info") or []
    claimer = _name(claimers[0]) if claimers else clean(manifest.get("claim_generator"))
    made_by = [name for name, place in agents if place.endswith(("softwareAgent", "AISystemUsed"))]
    generator = known[0][0] if known and not made_by else made_by[0] if made_by else claimer or None
    if known and known_generator([generator]) is None and not is_ai(code):
        generator = known[0][0]
    if not is_ai(code) and known:
        place = known[0][1]
    signature = manifest.get("signature_info") or {}
    return Finding(
        Kind.C2PA,
        where,
        sentence(generator, code),
        trust,
        _CAVEATS[trust].format(matched),
        generator=generator,
        source_type=code,
        says_ai=is_ai(code) or bool(known) or known_generator([claimer]) is not None,
        details=pairs(
            found_in=place,
            claim_generator=claimer,
            issuer=signature.get("issuer"),
            signer=signature.get("common_name"),
            signed_at=signature.get("time"),
            trust_list=matched if trust is Trust.VERIFIED else None,
            agents=", ".join(dict.fromkeys(name for name, _ in agents)) if len(agents) > 1 else None,
            actions=", ".join(dict.fromkeys(str(each.value) for each in said if each.key == "action")),
            failed=failures,
        ),
    )


def _said(manifest: Mapping[str, Any]) -> Iterator[_Said]:
    """All values of the assertions that say how the image was made, each action by its own name."""
    for assertion in manifest.get("assertions", []):
        label, data = str(assertion.get("label", "")), assertion.get("data")
        if not label.startswith(_ASSERTIONS):
            continue
        if label.startswith("c2pa.actions") and isinstance(data, Mapping):
            for action in data.get("actions", []):
                if isinstance(action, Mapping):
                    yield from _values(action, clean(action.get("action")))
        else:
            yield from _values(data, label)


def _values(data: object, place: str) -> Iterator[_Said]:
    """The values of nested objects and lists by their last key, without prefix and in lower case."""
    waiting: list[tuple[str, object]] = [(place, data)]
    for place, value in waiting:  # grows meanwhile
        members: Iterable[tuple[str, object]] = ()
        if isinstance(value, Mapping):
            members = value.items()
        elif isinstance(value, list):
            members = (("", each) for each in value)
        for key, member in members:
            if key in ("ingredients", "ingredient", "templates"):
                continue
            inside = f"{place} {key}".strip()
            yield _Said(re.split(r"[.:]", str(key))[-1].lower(), inside, member)
            if len(waiting) < _MAX_VALUES and isinstance(member, Mapping | list):
                waiting.append((inside, member))


def _name(agent: object) -> str:
    """A software agent as text: C2PA 1 has a text, C2PA 2 a name and a version."""
    if isinstance(agent, Mapping):
        return clean(" ".join(text for key in ("name", "version") if (text := clean(agent.get(key)))))
    return clean(agent)
