"""Certificates made by the openssl command when a test needs them; nothing secret is kept in the repository."""

import datetime
import pathlib

from support.daemon import run

_CONFIG = """
[ca]
default_ca = test
[test]
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
subjectAltName = {names}
extendedKeyUsage = {usage}
"""


def _openssl(*arguments):
    done = run("openssl", *map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


def _asn1_time(days):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A CA with a folder of its own; `certificate` is what others trust."""

    def __init__(self, folder, name="Test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        (self.folder / "index.txt").touch()
        self.certificate = self.folder / "ca.pem"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30,
                 "-subj", f"/CN={name}", "-keyout", self.folder / "ca.key", "-out", self.certificate)

    def issue(self, path, names, usage, days=(-1, 30)):
        """Writes PATH.pem and PATH.key for `names` ("DNS:a,IP:::1"), valid between two days from today."""
        path = pathlib.Path(path)
        certificate, key = path.with_name(path.name + ".pem"), path.with_name(path.name + ".key")
        request, config = self.folder / "request.pem", self.folder / "openssl.cnf"
        config.write_text(_CONFIG.format(folder=self.folder, names=names, usage=usage), encoding="ascii")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={path.name}", "-keyout", key, "-out", request)
        _openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "leaf", "-in", request,
                 "-out", certificate, "-startdate", _asn1_time(days[0]), "-enddate", _asn1_time(days[1]))
        return certificate, key

    def server(self, path, names, days=(-1, 30)):
        return self.issue(path, names, "serverAuth", days)

    def client(self, path, name, days=(-1, 30)):
        return self.issue(path, f"DNS:{name}", "clientAuth", days)
