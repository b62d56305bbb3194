"""Certificates for the tests of TLS: an authority, and what it signs, made by openssl as they are wanted."""

import subprocess

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Authority:
    """Files in `folder`: NAME.pem and NAME.key of the authority and of each that it signs."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", *EC, "-days", "3650", "-subj", f"/CN=forebay test {name}", "-keyout", self.key,
                "-out", self.cert)

    def sign(self, name, days=3650):
        """(certificate, key), good for loopback."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, words = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        words.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", *EC, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", words, "-out", cert)
        return cert, key
