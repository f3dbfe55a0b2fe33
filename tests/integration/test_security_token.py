# SPDX-License-Identifier: BSD-2-Clause
"""A private key that never leaves its token: PKCS#11, with SoftHSM for a token."""

import os
import shutil
import subprocess

import pytest

from clients import coap_client

pytestmark = pytest.mark.skipif(not shutil.which("softhsm2-util"), reason="needs softhsm2")


@pytest.fixture
def token(tmp_path, certificates):
    """A token with the server's certificate and key; what is to be in the environment of who uses it."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    environment = {"SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}

    def run(*command):
        subprocess.run([str(word) for word in command], check=True, capture_output=True, env={**os.environ, **environment})

    run("softhsm2-util", "--init-token", "--free", "--label", "coapd", "--pin", "1234", "--so-pin", "4321")
    for what, name in (("--load-privkey", "server.key"), ("--load-certificate", "server.crt")):
        run("p11tool", "--login", "--set-pin", "1234", "--write", what, certificates[name], "--label", "server",
            "pkcs11:token=coapd")
    return environment


@pytest.mark.parametrize("pin", ["pin-value=1234", "pin-source=file:{}/pin"])
def test_the_key_of_a_token(coapd, certificates, token, tmp_path, pin):
    pki = {"certificate": "pkcs11:token=coapd;object=server;type=cert",
           "private_key": f"pkcs11:token=coapd;object=server;type=private?{pin.format(tmp_path)}"}
    daemon = coapd(endpoints=["coaps://127.0.0.1:{port}"], environment=token, security={"pki": pki},
                   resources=[{"path": "motd", "kind": "static", "content": "hello"}])
    result = coap_client("-C", certificates["ca.crt"], daemon.uri("motd", "coaps"))
    assert result.stdout == "hello\n", result


def test_a_certificate_of_a_token_ends_as_one_of_a_file_does(coapd, certificates, token, tmp_path):
    (tmp_path / "soon").mkdir()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(certificates[name], tmp_path / "soon")
    (tmp_path / "soon" / "t").write_text('cn = "localhost"\ntls_www_server\nsigning_key\nexpiration_days = 9\n')
    for command in (
            ["certtool", "--generate-certificate", "--load-privkey", certificates["server.key"], "--template", "t",
             "--load-ca-certificate", "ca.crt", "--load-ca-privkey", "ca.key", "--outfile", "soon.crt"],
            ["p11tool", "--login", "--set-pin", "1234", "--write", "--load-certificate", "soon.crt", "--label", "soon",
             "pkcs11:token=coapd"]):
        subprocess.run([str(word) for word in command], check=True, capture_output=True, cwd=tmp_path / "soon",
                       env={**os.environ, **token})
    pki = {"certificate": "pkcs11:token=coapd;object=soon;type=cert?pin-value=1234",
           "private_key": "pkcs11:token=coapd;object=server;type=private?pin-value=1234"}
    daemon = coapd(endpoints=["coaps://127.0.0.1:{port}"], environment=token, security={"pki": pki})
    assert "security.pki.certificate ends on " in daemon.stderr
    assert "pin-value" not in daemon.stderr


def test_a_token_that_is_not_there(coapd, certificates):
    pki = {"certificate": "pkcs11:token=nowhere;object=server;type=cert",
           "private_key": "pkcs11:token=nowhere;object=server;type=private?pin-value=12345678"}
    daemon = coapd(start=False, endpoints=["coaps://127.0.0.1:{port}"], security={"pki": pki})
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 1 and "security.pki.certificate" in said, said
    assert "12345678" not in said, said
