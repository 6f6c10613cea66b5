"""C2PA content credentials: reads the signed manifest of a file and how trustworthy it is.

Offline: no manifest, revocation list or time stamp is fetched. The native library is imported by the functions that
need it, because few files have credentials.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from attribution.evidence.finding import Finding, Kind, Trust, clean, pairs, unreadable
from attribution.evidence.vocabulary import is_ai, known_generator, sentence, source_type

if TYPE_CHECKING:
    from c2pa import Context

# The description of every manifest store begins with this, in any container: a `jumd` box of the type c2pa.
MARKER = b"jumdc2pa"
_WHERE = "C2PA manifest"
_MAX_JSON = 4_000_000
_MAX_INGREDIENTS = 4
_OFFLINE = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "core": {"allowed_network_hosts": []},
}
_INGREDIENT = "The signer of the file vouches for this ingredient; the ingredient's own signer was not checked."
_CAVEATS = {
    Trust.VERIFIED: "The signature is intact, and its issuer is on this installation's trust list.",
    Trust.UNTRUSTED_ISSUER: "The signature is intact, but its issuer is not on a trust list of this installation: "
    "anyone can make such a certificate.",
    Trust.TAMPERED: "File or manifest were changed after signing: the statements may not be about this image.",
    Trust.UNVERIFIED_SIGNATURE: "The signature could not be verified: anyone may have written this.",
}


def credential_findings(data: bytes, media_type: str, trust_list: str | None = None) -> tuple[Finding, ...]:
    """One finding for the active manifest, and one for each ingredient's manifest with a source type.

    `trust_list` contains the PEM certificates of trusted issuers; without it no issuer is trusted.
    """
    from c2pa import C2paError, Reader

    try:
        reader = Reader(media_type, BytesIO(data), context=_context(trust_list))
    except C2paError.ManifestNotFound:
        return ()
    except C2paError:
        return (unreadable(Kind.C2PA, _WHERE),)
    with reader:
        text = reader.json()
    if len(text) > _MAX_JSON:
        return (unreadable(Kind.C2PA, _WHERE),)
    return tuple(_findings(json.loads(text)))


@functools.lru_cache(maxsize=1)
def _context(trust_list: str | None) -> "Context":
    from c2pa import Context

    return Context.from_dict(_OFFLINE | ({"trust": {"trust_anchors": trust_list}} if trust_list else {}))


def _findings(store: Mapping[str, Any]) -> Iterator[Finding]:
    manifests = store["manifests"]
    active = store["active_manifest"]
    trust, failures = _trust(store)
    yield _finding(manifests[active], _WHERE, trust, failures)
    others = [manifest for label, manifest in manifests.items() if label != active]
    trust = Trust.UNTRUSTED_ISSUER if trust is Trust.VERIFIED else trust
    for manifest in others[:_MAX_INGREDIENTS]:
        finding = _finding(manifest, "C2PA manifest of an ingredient", trust, "")
        if finding.source_type:
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


def _finding(manifest: Mapping[str, Any], where: str, trust: Trust, failures: str) -> Finding:
    actions = list(_actions(manifest))
    codes = [code for action in actions if (code := source_type(str(action.get("digitalSourceType", ""))))]
    code = next((code for code in codes if is_ai(code)), codes[0] if codes else None)
    agents = [agent for action in actions if (agent := _name(action.get("softwareAgent")))]
    claimers = manifest.get("claim_generator_info") or []
    claimer = _name(claimers[0]) if claimers else clean(manifest.get("claim_generator"))
    generator = agents[0] if agents else claimer or None
    signature = manifest.get("signature_info") or {}
    return Finding(
        Kind.C2PA,
        where,
        sentence(generator, code),
        trust,
        _CAVEATS[trust],
        generator=generator,
        source_type=code,
        says_ai=is_ai(code) or known_generator([generator]) is not None,
        details=pairs(
            claim_generator=claimer,
            issuer=signature.get("issuer"),
            signer=signature.get("common_name"),
            signed_at=signature.get("time"),
            actions=", ".join(dict.fromkeys(str(action.get("action")) for action in actions)),
            failed=failures,
        ),
    )


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            yield from assertion.get("data", {}).get("actions", [])


def _name(agent: object) -> str:
    """A software agent as text: C2PA 1 has a text, C2PA 2 a name and a version."""
    if isinstance(agent, Mapping):
        return clean(" ".join(text for key in ("name", "version") if (text := clean(agent.get(key)))))
    return clean(agent)
