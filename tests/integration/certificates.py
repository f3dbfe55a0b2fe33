# SPDX-License-Identifier: BSD-2-Clause
"""Keys and certificates made with certtool for a session of tests."""

import subprocess
from pathlib import Path

PSK_IDENTITY, PSK_KEY = "sensor-1", "correct horse"


class Certificates:
    """ca.crt signs server.crt and client.crt (CN=ops); other-client.crt is signed by another authority."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("ca", "other-ca"):
            self._key(name)
            self._certificate(name, "--generate-self-signed", 'cn = "Test CA"\nca\ncert_signing_key\ncrl_signing_key\n')
        names = 'dns_name = "localhost"\nip_address = "127.0.0.1"\nip_address = "::1"\n'
        self._signed("server", "ca", f'cn = "localhost"\n{names}tls_www_server\nsigning_key\n')
        self._signed("client", "ca", 'cn = "ops"\ntls_www_client\nsigning_key\n')
        self._signed("other-client", "other-ca", 'cn = "ops"\ntls_www_client\nsigning_key\n')

    def __getitem__(self, name):
        return self.folder / name

    def _tool(self, *arguments):
        subprocess.run(["certtool", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)

    def _key(self, name):
        self._tool("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", f"{name}.key")
        self[f"{name}.key"].chmod(0o600)

    def _certificate(self, name, how, template, *more):
        if "expiration_date" not in template:
            template += "expiration_days = 90\n"
        self[f"{name}.template"].write_text(template)
        self._tool(how, "--template", f"{name}.template", "--load-privkey", f"{name}.key", *more,
                   "--outfile", f"{name}.crt")

    def _signed(self, name, authority, template):
        self._key(name)
        self._certificate(name, "--generate-certificate", template,
                          "--load-ca-certificate", f"{authority}.crt", "--load-ca-privkey", f"{authority}.key")

    def client_named(self, name, more=""):
        """NAME.crt of ca.crt, for the client CN=NAME."""
        if not self[f"{name}.crt"].exists():
            self._signed(name, "ca", f'cn = "{name}"\ntls_www_client\nsigning_key\n{more}')

    def with_usage(self, name, usage, kind="ec"):
        """NAME.crt of ca.crt whose keyUsage is just that: certtool makes every EC key one that may sign."""
        if kind == "ec":
            self._key(name)
        else:
            self._tool("--generate-privkey", "--key-type", kind, "--bits", "2048", "--outfile", f"{name}.key")
            self[f"{name}.key"].chmod(0o600)
        self["extensions"].write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1\nkeyUsage=critical,{usage}\n")
        request = subprocess.run(["openssl", "req", "-new", "-key", self[f"{name}.key"], "-subj", f"/CN={name}"], check=True,
                                 capture_output=True).stdout
        subprocess.run(["openssl", "x509", "-req", "-CA", self["ca.crt"], "-CAkey", self["ca.key"], "-days", "90",
                        "-extfile", self["extensions"], "-out", self[f"{name}.crt"]], input=request, check=True,
                       capture_output=True)

    def self_signed(self, name):
        self._key(name)
        self._certificate(name, "--generate-self-signed", 'cn = "ops"\ntls_www_client\nsigning_key\n')

    def revocations(self, *names):
        """The list of ca.crt that names these clients."""
        self["crl.template"].write_text("crl_next_update = 90\ncrl_number = 1\n")
        self["revoked.pem"].write_text("".join(self[f"{name}.crt"].read_text() for name in names))
        self._tool("--generate-crl", "--load-ca-certificate", "ca.crt", "--load-ca-privkey", "ca.key",
                   "--load-certificate", "revoked.pem", "--template", "crl.template", "--outfile", "ca.crl")
        return self["ca.crl"]

    def psk(self):
        """The group security.psk."""
        return {"hint": "coapd", "identities": [{"identity": PSK_IDENTITY, "key": PSK_KEY}]}

    def pki(self, **more):
        """The group security.pki."""
        return {"certificate": self["server.crt"], "private_key": self["server.key"], "ca": self["ca.crt"], **more}

    def psk_arguments(self):
        return ["-u", PSK_IDENTITY, "-k", PSK_KEY]

    def pki_arguments(self, client="client"):
        return ["-c", self[f"{client}.crt"], "-j", self[f"{client}.key"], "-C", self["ca.crt"]]
