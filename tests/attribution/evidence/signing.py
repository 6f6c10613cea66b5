"""Signs images with content credentials, by an authority made on the spot."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


class Authority:
    """A root certificate and a signer under it, valid for so long from now."""

    def __init__(self, valid: timedelta = timedelta(days=30)) -> None:
        root, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = _certificate("Root", root, root, valid).public_bytes(Encoding.PEM).decode()
        chain = _certificate("Signer", signer, root, valid).public_bytes(Encoding.PEM).decode() + self.root
        key = signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._info = c2pa.C2paSignerInfo(b"es256", chain.encode(), key.encode(), None)

    def sign(
        self,
        image: bytes,
        media_type: str,
        source_type: str = GENERATED,
        remote: str | None = None,
        assertions: list[dict[str, Any]] | None = None,
    ) -> bytes:
        """The image with a manifest that says it was created by Generate Machine 3, or that has these assertions.

        `remote`: with its address only.
        """
        action = {
            "action": "c2pa.created",
            "softwareAgent": {"name": "Generate Machine", "version": "3"},
            "digitalSourceType": source_type,
        }
        manifest = {
            "claim_generator_info": [{"name": "Test Claims", "version": "1.0"}],
            "assertions": assertions or [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
        signed = io.BytesIO()
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder.from_json(json.dumps(manifest), context) as builder,
            c2pa.Signer.from_info(self._info) as signer,
        ):
            if remote is not None:
                builder.set_no_embed()
                builder.set_remote_url(remote)
            builder.sign(signer, media_type, io.BytesIO(image), signed)
        return signed.getvalue()


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, valid: timedelta
) -> x509.Certificate:
    """Of a root if it issues itself, else of a signer that `issuer` vouches for."""
    root = key is issuer
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(root, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(not root, False, False, False, False, root, root, False, False),
            critical=True,
        )
    )
    if not root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Works of Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
